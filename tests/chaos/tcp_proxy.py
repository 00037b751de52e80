"""A TCP proxy between the deployment and Redis that can stall, delay, or cut connections in the middle of a reply."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

_CHUNK = 16_384


class TcpProxy:
    """Forwards ``127.0.0.1:port`` to a port on this host; an async context manager."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay = 0.0
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._cut_after: int | None = None
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *details: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    def stall(self) -> None:
        """Keep connections open and let nothing through: a black hole."""
        self._flowing.clear()

    def refuse(self) -> None:
        """Cut every connection, and any new one, until ``flow``."""
        self._refusing = True
        self.cut()

    def flow(self) -> None:
        """Let everything through again, at once."""
        self._refusing = False
        self._delay = 0.0
        self._flowing.set()

    def delay(self, seconds: float) -> None:
        """Hold every chunk back this long."""
        self._delay = seconds

    def cut(self) -> None:
        """Cut every connection now."""
        for writer in list(self._writers):
            writer.transport.abort()

    def cut_in_reply(self, after_bytes: int) -> None:
        """Cut the connection that carries the next replies after so many of their bytes."""
        self._cut_after = after_bytes

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, up_writer}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, up_writer, replies=False))
                group.create_task(self._pump(up_reader, writer, replies=True))
        except* (OSError, EOFError):
            pass
        finally:
            self._writers -= pair
            for each in pair:
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, replies: bool) -> None:
        while data := await reader.read(_CHUNK):
            await self._flowing.wait()
            if self._delay:
                await asyncio.sleep(self._delay)
            if replies and self._cut_after is not None:
                after, self._cut_after = self._cut_after, None
                writer.write(data[:after])
                with contextlib.suppress(OSError):
                    await writer.drain()
                raise EOFError
            writer.write(data)
            await writer.drain()
        raise EOFError
