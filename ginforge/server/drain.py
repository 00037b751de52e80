"""The graceful end: everybody is told, every application runs to its end, and it takes a bounded time."""

import asyncio
import inspect
import logging
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ginforge.server.runtime import runtime

if TYPE_CHECKING:
    from ginforge.server.server import GatewayServer

logger = logging.getLogger(__name__)

RESTARTING = 1012
_BATCH_PAUSE = 0.05
_LOOK = 0.02
# Clients are asked to come back at this pace by all, so that what is left can take them.
_RECONNECTS_PER_SECOND = 500


class Drain:
    """Ends one server; ``run`` takes hardly longer than the server's ``drain_timeout``."""

    def __init__(self, server: "GatewayServer") -> None:
        self.server = server
        self.deadline = 0.0

    def hurry(self) -> None:
        """Wait for nobody any more."""
        self.deadline = 0.0

    async def run(self) -> None:
        """Stop accepting, tell the application, close all connections, wait for every application."""
        runtime.draining = True
        self.deadline = time.monotonic() + self.server.options.drain_timeout
        for port in self.server.ports:
            port.stopListening()
        await self._tell_application()
        await self._close_sockets()
        # Peers that do not answer leave their applications some time.
        await self._while(lambda: bool(self.server.websockets), self.server.options.drain_timeout / 3)
        self._cut_sockets()
        await self._while(self._running)
        self._cut_requests()
        await asyncio.sleep(_LOOK)
        await self._cancel()
        await self.server.lifespan.shutdown(1.0)

    async def _tell_application(self) -> None:
        for hook in runtime.on_drain:
            try:
                result = hook()
                if inspect.isawaitable(result):
                    await asyncio.wait_for(result, max(0.0, self.deadline - time.monotonic()) / 2)
            except Exception:
                logger.exception("drain hook failed")

    async def _close_sockets(self) -> None:
        sockets = list(self.server.websockets)
        # Half of the time is for the closing itself, the other for the applications' own ends.
        batches = max(1, int(max(0.0, self.deadline - time.monotonic()) / 2 / _BATCH_PAUSE))
        size = max(100, -(-len(sockets) // batches))
        spread = max(1000, len(sockets) * 1000 // _RECONNECTS_PER_SECOND)
        for start in range(0, len(sockets), size):
            for protocol in sockets[start : start + size]:
                hint = random.randrange(100, spread + 100)
                protocol.close(RESTARTING, f"restart retry_after_ms={hint}")
            await asyncio.sleep(_BATCH_PAUSE)
        if sockets:
            logger.info("closed %d connections for the restart", len(sockets))

    async def _while(self, condition: Callable[[], bool], spare: float = 0.0) -> None:
        while condition() and time.monotonic() < self.deadline - spare:
            await asyncio.sleep(_LOOK)

    def _cut_sockets(self) -> None:
        connections: list[Any] = [*self.server.websockets, *self.server.waiting, *self.server.unread]
        for protocol in connections:
            protocol.transport.abortConnection()

    def _cut_requests(self) -> None:
        for request in list(self.server.requests):
            if request.channel is not None:
                request.channel.forceAbortClient()

    def _running(self) -> bool:
        server = self.server
        return bool(server.websockets or server.requests or server.leaving)

    async def _cancel(self) -> None:
        tasks = [protocol.task for protocol in self.server.leaving if protocol.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            logger.warning("%d applications did not end in time and were cancelled", len(tasks))
            await asyncio.wait(tasks, timeout=0.5)
