"""``ginforge.server`` as a process, and the raw clients its tests need."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import sys
import urllib.request
from typing import Any, Self

from tests.integration.programs import Program, wait_until

KEY = base64.b64encode(b"0123456789abcdef").decode()


class Server(Program):
    """A server on a free port, running one of ``tests.integration.server_applications``."""

    def __init__(self, application: str, *flags: str, env: dict[str, str] | None = None) -> None:
        super().__init__(
            f"server-{application}",
            [
                *(sys.executable, "-m", "ginforge.server", "--port=0", f"--access-log={os.devnull}", *flags),
                f"tests.integration.server_applications:{application}",
            ],
            env=env,
        )
        self.port = 0

    def start(self) -> Server:
        super().start()
        workers = any(flag.startswith("--workers") for flag in self.command)
        self.wait_for_log("with" if workers else "listening on ")
        found = re.search(r"listening on \S+:(\d+)", self.log)
        assert found is not None
        self.port = int(found[1])
        if workers:
            wait_until(lambda: self.log.count("Starting server at") >= 2, "the workers")
        return self

    def __enter__(self) -> Self:
        self.start()
        return self

    @property
    def ws(self) -> str:
        """Base URL for WebSocket clients."""
        return f"ws://127.0.0.1:{self.port}"

    def get(self, path: str = "/", timeout: float = 20) -> Any:
        """Return the JSON at ``path``, over a connection of its own."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=timeout) as response:
            return json.load(response)


class Peer:
    """A WebSocket client that does nothing by itself: no pongs, no reads, no answers to a close."""

    def __init__(self, server: Server, path: str = "/", *, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.sendall(upgrade_request(path))
        self.pending = b""
        self.response = self._read_until(b"\r\n\r\n").decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.socket.close()

    def send(self, first: int, payload: bytes = b"", *, masked: bool = True) -> None:
        """Send one frame whose first byte is ``first``."""
        mask = 0x80 if masked else 0
        if len(payload) < 126:
            head = bytes((first, mask | len(payload)))
        elif len(payload) < 65536:
            head = bytes((first, mask | 126)) + len(payload).to_bytes(2, "big")
        else:
            head = bytes((first, mask | 127)) + len(payload).to_bytes(8, "big")
        # A mask of zeros leaves the payload as it is.
        self.socket.sendall(head + (bytes(4) if masked else b"") + payload)

    def frame(self) -> tuple[int, bytes]:
        """Read one frame: opcode and payload; raises ConnectionError at the end of the connection."""
        head = self._read(2)
        size = head[1]
        if size == 126:
            size = int.from_bytes(self._read(2), "big")
        elif size == 127:
            size = int.from_bytes(self._read(8), "big")
        return head[0] & 15, self._read(size)

    def read_all(self) -> None:
        """Read until the connection ends, which raises ConnectionError."""
        while True:
            self._more()

    def close_frame(self) -> tuple[int, str]:
        """Skip to the close frame and return its code and reason."""
        while True:
            opcode, payload = self.frame()
            if opcode == 8:
                return int.from_bytes(payload[:2], "big"), payload[2:].decode()

    def _read(self, size: int) -> bytes:
        while len(self.pending) < size:
            self._more()
        data, self.pending = self.pending[:size], self.pending[size:]
        return data

    def _read_until(self, end: bytes) -> bytes:
        while end not in self.pending:
            self._more()
        data, _, self.pending = self.pending.partition(end)
        return data

    def _more(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the server ended the connection")
        self.pending += data


def upgrade_request(path: str = "/", *extra: str) -> bytes:
    """Return a complete upgrade request."""
    lines = (
        *(f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"),
        *(f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Version: 13", *extra),
    )
    return "\r\n".join(lines).encode() + b"\r\n\r\n"
