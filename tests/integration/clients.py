"""WebSocket clients for tests: every message is kept, and conditions are waited for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PATIENCE = 20.0


class Client:
    """One connection; ``messages`` is everything received so far, ``closed`` the close code and reason.

    An async context manager; ``opened`` waits for the first frame.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self.messages: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self._connect = connect(url, max_size=None, compression=None, **options)
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._asked = 0

    @property
    def socket(self) -> ClientConnection:
        """The connection itself."""
        assert self._socket is not None
        return self._socket

    async def open(self) -> Self:
        """Connect and wait for the first frame."""
        self._socket = await self._connect
        self._reader = asyncio.create_task(self._read())
        await self.until(lambda: self.messages or self.closed, "the first frame")
        return self

    async def _read(self) -> None:
        try:
            async for text in self.socket:
                self.messages.append(json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            self.closed = (self.socket.close_code or 1006, self.socket.close_reason or "")

    async def until(self, condition: Callable[[], Any], what: str = "", timeout: float = PATIENCE) -> Any:
        """Wait until ``condition()`` is true and return what it gave."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            last = self.messages[-3:]
            assert time.monotonic() < deadline, f"waited {timeout:g} s in vain for {what}; {self.closed=}, {last=}"
            await asyncio.sleep(0.005)
        return found

    def of_type(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the messages of these types."""
        return [message for message in self.messages if message["type"] in kinds]

    def contents(self, *kinds: str) -> list[Any]:
        """Return the ``content`` of the messages of these types."""
        return [message["content"] for message in self.of_type(*kinds)]

    async def wait_for(self, kind: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many messages of a type and return them."""
        await self.until(
            lambda: len(self.of_type(kind)) >= count, f"{count} {kind}; there are {len(self.of_type(kind))}"
        )
        return self.of_type(kind)

    async def wait_closed(self, timeout: float = PATIENCE) -> tuple[int, str]:
        """Wait for the end and return close code and reason."""
        await self.until(lambda: self.closed, "the close frame", timeout)
        assert self.closed is not None
        return self.closed

    async def send(self, **message: Any) -> None:
        """Send one message."""
        await self.socket.send(json.dumps(message))

    async def send_raw(self, payload: str | bytes) -> None:
        """Send one text frame of any bytes."""
        await self.socket.send(payload, text=True)

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send a message with an id and return its ``ack`` or ``error``."""
        self._asked += 1
        wanted = message.setdefault("id", f"ask-{self._asked}")
        await self.send(**message)

        def answer() -> dict[str, Any] | None:
            return next((m for m in self.of_type("ack", "error", "pong") if m.get("id") == wanted), None)

        found: dict[str, Any] = await self.until(answer, f"the answer to {message}")
        return found

    async def join(self, room: str) -> dict[str, Any]:
        """Join a room and return its stream position."""
        answer = await self.ask(type="join_room", content=room)
        assert answer["type"] == "ack", answer
        stream: dict[str, Any] = answer["content"]["stream"]
        return {"epoch": stream["epoch"], "offset": stream["offset"]}

    @property
    def streams(self) -> dict[str, Any]:
        """The positions that ``welcome`` told."""
        streams: dict[str, Any] = self.messages[0]["data"]["streams"]
        return streams

    def last_positions(self) -> dict[str, Any]:
        """Return the positions after everything received so far, as a client would keep them."""
        positions = dict(self.streams)
        for message in self.messages:
            at = (message.get("data") or {}).get("stream") if isinstance(message.get("data"), dict) else None
            if at:
                positions[at["name"]] = {"epoch": at["epoch"], "offset": at["offset"]}
        return positions

    async def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._socket.close()
        if self._reader is not None:
            await self._reader

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *details: object) -> None:
        await self.close()
