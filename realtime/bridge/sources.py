"""Where messages come from: Redis pub/sub. ``durable`` has the other way in, the ingress stream."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from realtime.conf import RealtimeSettings
from realtime.keys import INGRESS_PATTERN
from realtime.link import RedisLink, resolve

logger = logging.getLogger(__name__)

OnMessage = Callable[[bytes, bytes], None]
"""Gets channel and payload, synchronously and in Redis' order."""


class PubSubSource:
    """Listens to ``websocket:*`` on one Redis, for ever; at most once, as Redis gives it.

    ``on_message`` gets what was published; ``on_event`` what came over ``events``, a further channel of the same
    connection, so that its place among the messages is exact; ``on_change`` hears whether the subscription is up.
    """

    def __init__(
        self,
        host: dict[str, Any],
        conf: RealtimeSettings,
        *,
        events: str,
        on_message: OnMessage,
        on_event: Callable[[bytes], None],
        on_change: Callable[[bool], None],
    ) -> None:
        self.subscribed = False
        self.link = RedisLink(host, self, connect_timeout=conf.redis_connect_timeout, timeout=conf.redis_timeout)
        self._events = events.encode()
        self._on_message = on_message
        self._on_event = on_event
        self._on_change = on_change
        self._lost_at: float | None = None

    def start(self) -> None:
        """Connect in the background."""
        self.link.start()

    async def close(self) -> None:
        """Stop listening."""
        await self.link.close()

    async def link_up(self, link: RedisLink) -> None:
        """Subscribe; nothing published after this returns is missed while the connection lives."""
        await asyncio.gather(_subscribed(link, self._events), _subscribed(link, INGRESS_PATTERN.encode(), pattern=True))
        self.subscribed = True
        gap = None if self._lost_at is None else round(time.monotonic() - self._lost_at, 3)
        logger.info("ingress subscribed", extra={"pattern": INGRESS_PATTERN, "gap_seconds": gap})
        self._on_change(True)

    def link_down(self, link: RedisLink) -> None:  # noqa: ARG002  # the owner's interface
        """Note since when messages may be missed."""
        if self.subscribed:
            self.subscribed = False
            self._lost_at = time.monotonic()
            self._on_change(False)

    def link_push(self, link: RedisLink, channel: bytes, data: bytes, pattern: bytes | None) -> None:  # noqa: ARG002
        """Pass a message on."""
        if pattern is None:
            self._on_event(data)
        else:
            self._on_message(channel, data)


async def _subscribed(link: RedisLink, channel: bytes, *, pattern: bool = False) -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    link.subscribe(channel, lambda reply: resolve(future, reply), pattern=pattern)
    await future
