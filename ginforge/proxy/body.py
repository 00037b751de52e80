"""The body of a request on its way to an upstream: one chunk in memory at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from ginforge.proxy.answers import ClientGone, Receive, Refusal


class RequestBody:
    """Reads the ASGI events of one request.

    ``first`` is the first chunk; a body that ends with it can be sent again.
    ``on_chunk`` is called for each further one.
    """

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._size = 0
        self._read = asyncio.Event()
        self.first = b""
        self.streamed = False
        """Whether a chunk after the first was asked for, so that the body cannot be sent a second time."""
        self.error: Refusal | ClientGone | None = None
        """Why the stream ended early; the HTTP client wraps what is raised in it."""
        self.on_chunk: Callable[[], None] | None = None

    async def begin(self) -> None:
        """Read the first chunk. Raises ``ClientGone`` and ``Refusal`` (413)."""
        self.first = await self._next()

    @property
    def complete(self) -> bool:
        """Whether the whole body is in ``first``."""
        return self._read.is_set() and not self.streamed

    @property
    def repeatable(self) -> bool:
        """Whether the body can be sent again from its beginning."""
        return not self.streamed

    def payload(self) -> bytes | AsyncIterator[bytes] | None:
        """Return what to hand to the HTTP client."""
        if self.complete:
            return self.first or None
        return self._stream()

    async def gone(self) -> None:
        """Return when the client has hung up; only known once its whole body was read."""
        await self._read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _stream(self) -> AsyncIterator[bytes]:
        yield self.first
        while not self._read.is_set():
            self.streamed = True
            yield await self._next()
            if self.on_chunk is not None:
                self.on_chunk()

    async def _next(self) -> bytes:
        event: dict[str, Any] = await self._receive()
        if event["type"] == "http.disconnect":
            self.error = ClientGone()
            raise self.error
        chunk: bytes = event.get("body", b"")
        self._size += len(chunk)
        if 0 < self._limit < self._size:
            self.error = too_large(self._limit)
            raise self.error
        if not event.get("more_body"):
            self._read.set()
        return chunk


def too_large(limit: int) -> Refusal:
    """Return the answer to a body over the limit."""
    return Refusal(413, "too_large", f"The body is larger than {limit} bytes")
