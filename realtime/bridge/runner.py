"""One bridge: reads the ingress, routes, publishes in order, and keeps what it cannot."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from channels.layers import get_channel_layer

from realtime import metrics
from realtime.bridge.deadletters import DeadLetterWriter
from realtime.bridge.outbox import Failure, Job, Outbox
from realtime.bridge.router import Refused, route
from realtime.bridge.sources import PubSubSource
from realtime.conf import get_settings
from realtime.layer import Published, RedisStreamChannelLayer
from realtime.link import RedisLink

logger = logging.getLogger(__name__)


class Control:
    """Owner of the connection for leases, acknowledgements and dead letters."""

    async def link_up(self, link: RedisLink) -> None:
        """Nothing to prepare."""

    def link_down(self, link: RedisLink) -> None:
        """Nothing to note."""

    def link_push(self, link: RedisLink, channel: bytes, data: bytes, pattern: bytes | None) -> None:
        """Nothing is subscribed here."""


class Bridge:
    """Runs in one event loop, from ``start`` to ``stop``."""

    def __init__(self, bridge_id: str) -> None:
        self.id = bridge_id
        self.conf = get_settings()
        layer = get_channel_layer()
        if not isinstance(layer, RedisStreamChannelLayer):
            raise TypeError("CHANNEL_LAYERS['default'] must be realtime.layer.RedisStreamChannelLayer")
        self.layer = layer.for_loop()
        hosts: list[dict[str, Any]] = [shard.host for shard in self.layer.shards]
        self.control = RedisLink(
            hosts[0], Control(), connect_timeout=self.conf.redis_connect_timeout, timeout=self.conf.redis_timeout
        )
        self.dead_letters = DeadLetterWriter(self.control, self.conf)
        self.outbox = Outbox(self.layer, lambda: True, trust_persistence=self.conf.trust_persistence)
        self.sources = [
            PubSubSource(
                host,
                self.conf,
                events="ginforge:{bridge}:events",
                on_message=self.on_message,
                on_event=lambda data: None,
                on_change=lambda: None,
            )
            for host in hosts
        ]

    def start(self) -> None:
        """Connect everything in the background."""
        self.control.start()
        for shard in self.layer.shards:
            shard.link.start()
        for source in self.sources:
            source.start()
        self._beat = asyncio.get_running_loop().create_task(self._heartbeat())

    async def stop(self) -> None:
        """Publish what was received, then disconnect."""
        self._beat.cancel()
        for source in self.sources:
            await source.close()
        await self.outbox.drain(self.conf.redis_timeout)
        await self.dead_letters.drain(1.0)
        if self.control.connected.is_set():
            await self.control.call("HDEL", "ginforge:{bridge}:seen", self.id)
        await self.dead_letters.close()
        await self.outbox.close()
        await self.layer.flush()
        await self.control.close()

    def on_message(self, channel: bytes, payload: bytes) -> None:
        """Take one published message."""
        try:
            routed = route(channel, payload, self.conf)
        except Refused as refusal:
            self.dead_letters.add(channel, payload, refusal.reason, text=str(refusal), source="pubsub")
            metrics.bridge_messages.inc("refused")
            return
        self.outbox.submit(Job(routed, channel, "pubsub", time.monotonic(), self.on_done))

    def on_done(self, job: Job, result: Published | Failure) -> None:
        """Count, and keep what could not be published."""
        if isinstance(result, Published):
            metrics.bridge_messages.inc("duplicate" if result.duplicate else "published")
            return
        metrics.bridge_messages.inc("failed")
        self.dead_letters.add(job.channel, job.routed.text, result.reason, text=result.text, source=job.source)

    async def _heartbeat(self) -> None:
        import json

        while True:
            await self.control.connected.wait()
            state = {"id": self.id, "role": "active", "at": time.time()}
            self.control.execute(lambda reply: None, "HSET", "ginforge:{bridge}:seen", self.id, json.dumps(state))
            await asyncio.sleep(1)
