"""Writes what could not be delivered to the dead-letter stream; ``realtime.dead_letters`` reads it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from realtime import metrics
from realtime.bridge.outbox import SourceName
from realtime.conf import RealtimeSettings
from realtime.keys import DEAD_LETTERS
from realtime.limits import TokenBucket
from realtime.link import RedisLink

logger = logging.getLogger(__name__)

_MAX_WAITING: Final = 2_000
_PAUSE: Final = 0.2
_LOGGED_A_SECOND: Final = 10.0


class DeadLetter(msgspec.Struct, frozen=True):
    """One message that was given up; ``reason`` is one of a few words, ``text`` explains it to people."""

    channel: bytes
    payload: bytes
    size: int
    reason: str
    text: str
    source: SourceName
    at: float
    done: Callable[[], None] | None = None


class DeadLetterWriter:
    """Adds dead letters in the background, in order; while Redis is away a bounded number waits."""

    def __init__(self, link: RedisLink, conf: RealtimeSettings) -> None:
        self.total = 0
        self._link = link
        self._conf = conf
        self._waiting: deque[DeadLetter] = deque()
        self._task: asyncio.Task[None] | None = None
        self._log_budget = TokenBucket(_LOGGED_A_SECOND, time.monotonic())

    def add(
        self,
        channel: bytes,
        payload: bytes,
        reason: str,
        *,
        text: str,
        source: SourceName,
        done: Callable[[], None] | None = None,
    ) -> bool:
        """Keep a message; ``done`` is called once Redis has it. Returns false when too many wait for Redis."""
        if len(self._waiting) >= _MAX_WAITING:
            metrics.errors.inc("dead_letter_lost")
            return False
        self.total += 1
        metrics.dead_letters.inc(reason)
        if self._log_budget.take(time.monotonic(), _LOGGED_A_SECOND, _LOGGED_A_SECOND):
            logger.warning(
                "message refused", extra={"reason": reason, "detail": text, "source": source, "size": len(payload)}
            )
        cut = payload[: self._conf.dead_letter_payload]
        self._waiting.append(DeadLetter(channel[:2048], cut, len(payload), reason, text, source, time.time(), done))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write(), name="dead-letters")
        return True

    async def drain(self, timeout: float) -> None:  # a bound, not a failure
        """Wait until all is written, at most ``timeout`` seconds."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=timeout)

    async def close(self) -> None:
        """Stop writing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._link.connected.wait()
                batch = [self._waiting[i] for i in range(min(100, len(self._waiting)))]
                replies = await asyncio.gather(*(self._xadd(letter) for letter in batch), return_exceptions=True)
                for letter, reply in zip(batch, replies, strict=True):
                    if isinstance(reply, BaseException):
                        logger.warning("dead letter not written", extra={"error": str(reply)})
                        await asyncio.sleep(_PAUSE)
                        break
                    self._waiting.popleft()
                    if letter.done is not None:
                        letter.done()
        finally:
            self._task = None

    def _xadd(self, letter: DeadLetter) -> asyncio.Future[Any]:
        return self._link.call(
            "XADD", DEAD_LETTERS, "MAXLEN", "~", self._conf.dead_letter_limit, "*",
            "channel", letter.channel, "payload", letter.payload, "size", letter.size,
            "reason", f"{letter.reason}: {letter.text}", "source", letter.source, "at", f"{letter.at:.3f}",
        )  # fmt: skip
