"""The attackers of ``tests.security.attack``: ``python -m tests.security.attackers PORT SECONDS SCALE``.

They come again as often as they are cut. At the end, one JSON line says how many attempts each kind made.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.integration.serving import upgrade_request
from tests.integration.stack import make_token

_PAUSE = 1.0
"""Seconds until one that was cut comes again."""
attempts: Counter[str] = Counter()


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """Build a client's frame with a mask of zeros."""
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    elif size < 65536:
        head = bytes((first, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((first, 0xFF)) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


class Attacker:
    """One connection to the gateway."""

    def __init__(self, port: int, name: str) -> None:
        self.port = port
        self.name = name

    async def open(self, *, limit: int = 1 << 16, receive: int | None = None) -> None:
        """Connect."""
        sock = socket.socket()
        if receive is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        self.reader, self.writer = await asyncio.open_connection(sock=sock, limit=limit)

    async def join(self, token: str | None = None, **options: int) -> None:
        """Connect and upgrade with a good token, or another one."""
        await self.open(**options)
        token = make_token(self.name) if token is None else token
        self.writer.write(upgrade_request("/ws", f"Authorization: Bearer {token}"))
        await self.reader.readuntil(b"\r\n\r\n")

    async def pour(self, data: bytes, times: int) -> None:
        """Send and send, reading what comes so that nothing but the sending is wrong."""
        drain = asyncio.create_task(self._read())
        try:
            for _ in range(times):
                self.writer.write(data)
                await self.writer.drain()
                await asyncio.sleep(0)
            await asyncio.wait_for(drain, 10)
        finally:
            drain.cancel()

    async def _read(self) -> None:
        while await self.reader.read(65536):
            pass


async def flood(one: Attacker) -> None:
    """Send pings without end."""
    await one.join()
    await one.pour(frame(b'{"type":"ping"}') * 200, 50)


async def frame_flood(one: Attacker) -> None:
    """Send empty control frames and fragments without end."""
    await one.join()
    await one.pour(frame(b"", 0x89) * 500, 20)
    await one.join()
    await one.pour(frame(b"", 0x01) + frame(b"", 0x00) * 500, 20)


async def slow_reader(one: Attacker) -> None:
    """Never read, while others are made to write to us."""
    await one.join(receive=4096)
    one.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a socket
    for _ in range(300):
        one.writer.write(frame(json.dumps({"type": "chat", "to": one.name, "content": "x" * 8000}).encode()))
        await asyncio.sleep(0.05)


async def slow_headers(one: Attacker) -> None:
    """Send one byte of a request now and then."""
    await one.open()
    for byte in upgrade_request("/ws", "X: " + "x" * 200):
        one.writer.write(bytes((byte,)))
        await asyncio.sleep(0.5)


async def slow_frames(one: Attacker) -> None:
    """Send one byte of a frame now and then."""
    await one.join()
    for byte in frame(b'{"type":"ping"}' + b" " * 200):
        one.writer.write(bytes((byte,)))
        await asyncio.sleep(0.2)


BOMBS = (
    frame(b"[" * 500_000),
    frame(b'{"a":' * 100_000),
    frame(b"{" + b",".join(b'"%x":0' % number for number in range(55_000)) + b"}"),
    frame(b'{"type":"chat","to":"x","content":' + b"9" * 400_000 + b"}"),
    frame(b"\xff" * 100_000),
    frame(os.urandom(50_000), 0x82),
    b"\x81\xff" + b"\x7f" + b"\xff" * 7 + bytes(4),
    frame(b"x" * 300_000, 0x01) + frame(b"x" * 300_000, 0x80),
    frame(b"x" * 126, 0x89),
    b"\x81\x05hello",
)


async def bombs(one: Attacker) -> None:
    """Send what costs most to read."""
    for bomb in BOMBS:
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            await one.join()
            await one.pour(bomb, 2)
        one.writer.close()
        await asyncio.sleep(0.2)


async def bad_tokens(one: Attacker) -> None:
    """Try tokens."""
    for token in ("", "nonsense", make_token("victim", key="k" * 40), make_token("victim", ttl=-1), "a" * 16_000):
        with contextlib.suppress(OSError, EOFError):
            await one.join(token)
            await one.reader.read(65536)
        one.writer.close()
        await asyncio.sleep(0.05)


async def noise(one: Attacker) -> None:
    """Send what is no HTTP, and heads without end."""
    for data in (os.urandom(500), b"\x16\x03\x01" + os.urandom(200), b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000):
        await one.open()
        with contextlib.suppress(OSError, EOFError):
            await one.pour(data, 1)
        one.writer.close()


async def churn(one: Attacker) -> None:
    """Connect and leave, half of the time in the middle of it."""
    for number in range(10):
        with contextlib.suppress(OSError, EOFError):
            await one.join()
        (one.writer.close if number % 2 else one.writer.transport.abort)()
        await asyncio.sleep(0.05)


KINDS: dict[Callable[[Attacker], Awaitable[None]], int] = {
    flood: 5,
    frame_flood: 5,
    slow_reader: 10,
    slow_headers: 150,
    slow_frames: 50,
    bombs: 2,
    bad_tokens: 3,
    noise: 3,
    churn: 2,
}


async def again_and_again(kind: Callable[[Attacker], Awaitable[None]], port: int, number: int) -> None:
    """Attack until the end; not in step with the others."""
    turn = 0
    await asyncio.sleep(random.uniform(0, 2 * _PAUSE))
    while True:
        turn += 1
        one = Attacker(port, f"{kind.__name__}-{number}-{turn % 3}")
        attempts[kind.__name__] += 1
        with contextlib.suppress(OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            await kind(one)
        with contextlib.suppress(AttributeError, OSError):
            one.writer.transport.abort()
        await asyncio.sleep(random.uniform(0.5, 1.5) * _PAUSE)


async def attack(port: int, seconds: float, scale: float) -> None:
    """Attack with everything for so many seconds."""
    async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
        for kind, count in KINDS.items():
            for number in range(max(1, int(count * scale))):
                group.create_task(again_and_again(kind, port, number))
                await asyncio.sleep(0.002)


if __name__ == "__main__":
    with contextlib.suppress(TimeoutError):
        asyncio.run(attack(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
    print(json.dumps(attempts))
