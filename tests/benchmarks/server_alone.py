"""``python -m tests.benchmarks.server_alone``: what the server itself costs, beside stock Daphne and uvicorn.

One tiny application (servers/alone.py), one client process. CPU is the server's own, so that the figures hold on a busy
machine too; connects per second do not.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from ginforge.embedded import free_port
from tests.benchmarks.processes import Server, raise_file_limit

APPLICATION = "tests.benchmarks.servers.alone:application"
COMMANDS = {
    "ginforge.server": ["-m", "ginforge.server", "--verbosity=0", "--port={port}", APPLICATION],
    "daphne": ["-m", "daphne", "--verbosity=0", "--port={port}", APPLICATION],
    "uvicorn": ["-m", "uvicorn", "--log-level=error", "--ws-per-message-deflate=false", "--port={port}", APPLICATION],
}
ECHOES = 50
MESSAGE = b"\x81\xe4abcd" + b"x" * 100


def main() -> None:
    """Measure each server and print a row for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, default=50, help="handshakes at a time")
    parser.add_argument("--only", choices=COMMANDS, nargs="*", default=list(COMMANDS))
    options = parser.parse_args()
    raise_file_limit()
    print(f"{'':16} {'connects/s':>10} {'µs/connect':>10} {'KB/conn.':>8} {'µs/echo':>8} {'µs/send':>8} {'bare':>6}")
    for name in options.only:
        figures = measure(COMMANDS[name], options.connections, options.concurrency)
        print(f"{name:16} " + " ".join(figures), flush=True)


def measure(command: list[str], count: int, concurrency: int) -> list[str]:
    """Return the columns of one server's row."""
    port = free_port()
    words = [sys.executable, *(word.format(port=port) for word in command)]
    log = Path(tempfile.mkdtemp()) / "log"
    with Server(words, log=log, env={}) as server:
        server.wait_until(lambda: _answers(port))
        before = _get(port, "/usage")
        begin = time.perf_counter()
        clients = connect(port, count, concurrency)
        seconds = time.perf_counter() - begin
        opened = _get(port, "/usage")
        some = clients[:200]
        echo(some)
        echoed = _get(port, "/usage")
        sends = _get(port, "/broadcast")
    return [
        f"{count / seconds:10.0f}",
        f"{(opened['cpu'] - before['cpu_after']) / count * 1e6:10.0f}",
        f"{(opened['rss_kb'] - before['rss_kb']) / count:8.1f}",
        f"{(echoed['cpu'] - opened['cpu_after']) / len(some) / ECHOES * 1e6:8.1f}",
        *(f"{sends[key] * 1e6:{width}.1f}" if sends else "-" for key, width in (("direct", 8), ("bare", 6))),
    ]


def connect(port: int, count: int, concurrency: int) -> list[socket.socket]:
    """Open ``count`` WebSockets, ``concurrency`` handshakes at a time."""
    request = _request(port)
    poll = select.epoll()
    clients: dict[int, socket.socket] = {}

    def begin() -> None:
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        clients[client.fileno()] = client
        poll.register(client.fileno(), select.EPOLLOUT)

    for _ in range(min(concurrency, count)):
        begin()
    opened = 0
    while opened < count:
        for number, event in poll.poll(10):
            if event & select.EPOLLOUT:
                clients[number].send(request)
                poll.modify(number, select.EPOLLIN)
                continue
            answer = clients[number].recv(4096)
            if not answer.startswith(b"HTTP/1.1 101"):
                raise SystemExit(f"no upgrade: {answer!r}")
            poll.unregister(number)
            opened += 1
            if len(clients) < count:
                begin()
    return list(clients.values())


def echo(clients: list[socket.socket]) -> None:
    """Have every client send one message after the other and wait for its echo each time."""
    poll = select.epoll()
    waiting = {client.fileno(): (client, ECHOES) for client in clients}
    for client in clients:
        poll.register(client.fileno(), select.EPOLLIN)
        client.send(MESSAGE)
    while waiting:
        for number, _ in poll.poll(10):
            client, left = waiting.pop(number)
            client.recv(4096)
            if left > 1:
                waiting[number] = (client, left - 1)
                client.send(MESSAGE)


def _request(port: int) -> bytes:
    lines = [
        *("GET /ws HTTP/1.1", f"Host: 127.0.0.1:{port}", "Upgrade: websocket", "Connection: Upgrade"),
        *("Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==", "Sec-WebSocket-Version: 13"),
        *(f"Origin: http://127.0.0.1:{port}", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Accept-Language: en"),
        f"Sec-WebSocket-Protocol: bearer, {'t' * 250}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def _answers(port: int) -> bool:
    try:
        return bool(_get(port, "/usage"))
    except OSError:
        return False


def _get(port: int, path: str) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
        figures: dict[str, float] = json.load(response)
    return figures


if __name__ == "__main__":
    main()
