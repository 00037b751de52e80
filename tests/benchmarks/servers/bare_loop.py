"""The limit of this machine: accept, answer the handshake, and one ``write`` per connection and broadcast.

``python -m tests.benchmarks.servers.bare_loop PORT`` (environment: ``BENCH_REDIS_URL``). No token, no pings, no
reading after the handshake; whoever left is dropped at the next write.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import resource
import select
import socket
import sys

import redis

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"sec-websocket-key: *(\S+)", re.IGNORECASE)
_ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "


def frame(payload: bytes) -> bytes:
    """Return one unmasked text frame (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    return (
        b"\x81\x7e" + size.to_bytes(2, "big") + payload
        if size < 65536
        else b"\x81\x7f" + size.to_bytes(8, "big") + payload
    )


def answer(connection: socket.socket) -> None:
    """Read the request and upgrade."""
    request = b""
    while b"\r\n\r\n" not in request:
        chunk = connection.recv(65536)
        if not chunk:
            raise ConnectionError
        request += chunk
    found = _KEY.search(request)
    if found is None:
        raise ConnectionError
    accept = base64.b64encode(hashlib.sha1(found[1] + _GUID).digest())
    connection.sendall(_ANSWER + accept + b"\r\n\r\n" + frame(b'{"type":"welcome"}'))
    connection.setblocking(False)


def deliver(connections: dict[int, socket.socket], payload: bytes) -> None:
    """Write one frame to everybody: the loop this file is about."""
    data = frame(payload)
    write = os.write
    dead = []
    for descriptor in connections:
        try:
            write(descriptor, data)
        except OSError:
            dead.append(descriptor)
    for descriptor in dead:
        connections.pop(descriptor).close()


def main() -> None:
    """Serve until killed."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    subscription = redis.Redis.from_url(os.environ["BENCH_REDIS_URL"], socket_timeout=None).pubsub()
    subscription.subscribe("websocket:broadcast")
    subscription.get_message(timeout=5)
    redis_descriptor = subscription.connection._sock.fileno()  # the documented client has no descriptor to poll
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
    poller = select.epoll()
    poller.register(listener.fileno(), select.EPOLLIN)
    poller.register(redis_descriptor, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in poller.poll():
            if descriptor == redis_descriptor:
                while message := subscription.get_message(timeout=0):
                    deliver(connections, message["data"])
                continue
            connection, _ = listener.accept()
            try:
                answer(connection)
            except OSError:
                connection.close()
            else:
                connections[connection.fileno()] = connection


if __name__ == "__main__":
    main()
