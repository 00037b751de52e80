"""One bridge: its parts put together, started, and stopped in order."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import socket
import time
from typing import Any, Final

from channels.layers import get_channel_layer

from realtime.bridge.deadletters import DeadLetterWriter
from realtime.bridge.durable import DurableSource
from realtime.bridge.election import Election, Role
from realtime.bridge.health import HEARTBEAT, Heartbeat
from realtime.bridge.intake import Intake
from realtime.bridge.lease import Lease
from realtime.bridge.outbox import Outbox
from realtime.bridge.sources import PubSubSource
from realtime.codes import RealtimeError
from realtime.conf import RealtimeSettings, get_settings
from realtime.keys import BRIDGE_EVENTS
from realtime.layer import RedisStreamChannelLayer, StreamLoopLayer
from realtime.link import RedisLink
from realtime.offline import OfflineWriter
from realtime.presence import sweep_abandoned

logger = logging.getLogger(__name__)

_HANDOVER_TIMEOUT: Final = 4.0
_DRAIN_TIMEOUT: Final = 5.0


class Bridge:
    """Runs in one event loop, from ``start`` to ``stop``; reconnects for ever in between."""

    def __init__(self, bridge_id: str | None = None) -> None:
        self.id = bridge_id or make_bridge_id()
        conf = get_settings()
        self.layer = _stream_layer()
        hosts: list[dict[str, Any]] = [shard.host for shard in self.layer.shards]
        timeouts = {"connect_timeout": conf.redis_connect_timeout, "timeout": conf.redis_timeout}
        self.control = RedisLink(hosts[0], self, **timeouts)
        self.lease = Lease(self.control, self.id, conf.bridge_lease)
        self.heartbeat = Heartbeat(self.control, self.id)
        self.dead_letters = DeadLetterWriter(self.control, conf)
        self.intake = intake = Intake(conf, self.heartbeat.counters, self.dead_letters)
        self.offline = OfflineWriter(self.layer, conf=conf, on_lost=intake.on_offline_lost)
        self.outbox = outbox = Outbox(self.layer, self.lease.held, trust_persistence=conf.trust_persistence)
        self.election = Election(self.lease, outbox, self.id, oldest=self._oldest, on_change=self._on_role)
        self.durable = DurableSource(hosts[0], conf, self.id, flowing=lambda: outbox.flowing, on_entry=intake.on_entry)
        self.sources = [self._listen(host, conf, first=host is hosts[0]) for host in hosts]
        intake.election, intake.outbox, intake.offline, intake.durable = (
            self.election, outbox, self.offline, self.durable
        )  # fmt: skip
        self._tasks: list[asyncio.Task[None]] = []

    def _listen(self, host: dict[str, Any], conf: RealtimeSettings, *, first: bool) -> PubSubSource:
        return PubSubSource(
            host,
            conf,
            events=BRIDGE_EVENTS,
            on_message=self.intake.on_message,
            on_event=self.election.on_event,
            on_change=self.election.on_subscription if first else lambda _: None,
        )

    # From start to stop

    def start(self) -> None:
        """Connect everything in the background; Redis need not be there yet."""
        logger.info("bridge starts", extra={"bridge": self.id, "shards": len(self.layer.shards)})
        self.control.start()
        for shard in self.layer.shards:
            shard.link.start()
        for source in self.sources:
            source.start()
        self.durable.start(self.control)
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self.election.run(), name="election"),
            loop.create_task(self._beat(), name="heartbeat"),
            loop.create_task(self._sweep(), name="presence-sweep"),
        ]
        for task in self._tasks:
            task.add_done_callback(self._on_task_end)

    async def stop(self) -> None:
        """Publish what was received, acknowledge it, leave the lease to another bridge, disconnect."""
        logger.info("bridge stops", extra={"bridge": self.id, "waiting": self.outbox.count})
        self.durable.deactivate()
        await self.election.announce_handover(
            lambda event: self.control.call("PUBLISH", BRIDGE_EVENTS, event), timeout=_HANDOVER_TIMEOUT
        )
        drained = await self.outbox.drain(_DRAIN_TIMEOUT) if self.control.connected.is_set() else False
        drained = await self.offline.drain(_DRAIN_TIMEOUT) and drained
        for task in self._tasks:
            task.cancel()
        await self._say_farewell()
        await self._disconnect()
        logger.info("bridge stopped", extra={"bridge": self.id, "drained": drained, "left": self.outbox.count})

    async def _sweep(self) -> None:
        """Have nobody online for ever when the last gateway was killed."""
        while True:
            await asyncio.sleep(get_settings().lease / 2)
            try:
                await sweep_abandoned(self.layer.shards[0].link)
            except RealtimeError as error:
                logger.debug("presence not swept", extra={"error": str(error)})

    async def _say_farewell(self) -> None:
        try:
            if self.control.connected.is_set():
                await self.lease.release()
                await self.heartbeat.farewell()
        except RealtimeError as error:
            logger.warning("lease not released", extra={"error": str(error)})

    async def _disconnect(self) -> None:
        await self.offline.close()
        await self.dead_letters.drain(_HANDOVER_TIMEOUT)
        await self.dead_letters.close()
        await self.durable.close()
        for source in self.sources:
            await source.close()
        await self.outbox.close()
        await self.layer.flush()
        await self.control.close()

    def _on_task_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            logger.critical("bridge task died", extra={"task": task.get_name()}, exc_info=task.exception())
            os._exit(70)  # a bridge that only seems to work is worse than one that a supervisor starts again

    # State

    def _on_role(self, role: Role) -> None:
        if role is Role.ACTIVE:
            self.durable.activate()
        else:
            self.durable.deactivate()
        self.beat()

    def _oldest(self) -> float | None:
        return min((at for at in (self.outbox.oldest(), self.offline.oldest()) if at is not None), default=None)

    @property
    def lag(self) -> float:
        """Age of the oldest message that is received and not yet delivered, in seconds."""
        oldest = self._oldest()
        return 0.0 if oldest is None else time.monotonic() - oldest

    def state(self) -> dict[str, Any]:
        """Describe this bridge for the health page; ``status`` is ``ok`` when it is active or could become so."""
        hears = self.sources[0].subscribed and self.control.connected.is_set()
        return {
            "status": "ok" if hears and self.election.role is not Role.UNDECIDED else "unavailable",
            "id": self.id,
            "role": str(self.election.role),
            "redis": hears,
            "lag": round(self.lag, 3),
            "waiting": self.outbox.count,
        }

    async def _beat(self) -> None:
        while True:
            self.beat()
            await asyncio.sleep(HEARTBEAT)

    def beat(self) -> None:
        """Report the state to Redis and Prometheus."""
        self.heartbeat.beat(
            role=str(self.election.role),
            subscribed=all(source.subscribed for source in self.sources),
            in_step=self.election.in_step,
            lag=round(self.lag, 3),
            waiting=self.outbox.count,
            buffered=len(self.election.buffer),
            buffer_dropped=self.election.buffer.dropped,
            dropped=self.election.dropped,
            dead_letters=self.dead_letters.total,
        )

    # Owner of the control connection

    async def link_up(self, link: RedisLink) -> None:
        """Nothing to prepare; the election looks as soon as it can."""

    def link_down(self, link: RedisLink) -> None:
        """Nothing to note; pending calls have failed."""

    def link_push(self, link: RedisLink, channel: bytes, data: bytes, pattern: bytes | None) -> None:
        """Nothing is subscribed on this connection."""


def _stream_layer() -> StreamLoopLayer:
    layer = get_channel_layer()
    if not isinstance(layer, RedisStreamChannelLayer):
        raise TypeError("CHANNEL_LAYERS['default'] must be realtime.layer.RedisStreamChannelLayer")
    return layer.for_loop()


def make_bridge_id() -> str:
    """Return a name for this process that is unique and fit for a Redis key."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:64] or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"
