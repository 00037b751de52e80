"""The ASGI lifespan protocol, which Daphne lacks: start-up and shutdown of the application."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from ginforge.server.inbox import Inbox

logger = logging.getLogger(__name__)

_STARTUP_SECONDS = 60.0


class StartupFailed(RuntimeError):
    """The application said that it cannot start."""


class Lifespan:
    """One application's life; an application that does not know the protocol is served all the same."""

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self._application = application
        self._inbox = Inbox()
        self._answers = Inbox()
        self._task: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        """Tell the application to start and wait until it has; raises StartupFailed."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="lifespan")
        answer = await self._ask("startup", _STARTUP_SECONDS)
        if answer is not None and answer["type"] == "lifespan.startup.failed":
            raise StartupFailed(answer.get("message") or "the application failed to start")

    async def shutdown(self, seconds: float) -> None:
        """Tell the application to end and wait for it, for so many seconds at most."""
        if self._task is None or self._task.done():
            return
        answer = await self._ask("shutdown", seconds)
        if answer is not None and answer["type"] == "lifespan.shutdown.failed":
            logger.error("application failed to shut down: %s", answer.get("message", ""))
        self._task.cancel()

    async def _ask(self, what: str, seconds: float) -> dict[str, Any] | None:
        assert self._task is not None
        self._inbox.put_nowait({"type": f"lifespan.{what}"})
        answer = asyncio.ensure_future(self._answers.get())
        await asyncio.wait([answer, self._task], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        return None

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        try:
            await self._application(scope, self._inbox.get, self._send)
        except Exception:  # noqa: BLE001  # any exception means that the application has no lifespan (ASGI spec)
            logger.debug("the application does not support lifespan")

    async def _send(self, message: dict[str, Any]) -> None:
        self._answers.put_nowait(message)
