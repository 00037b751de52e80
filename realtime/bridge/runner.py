"""One bridge: takes messages from the ingress, routes and publishes them in order, and keeps what it cannot deliver."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from channels.layers import get_channel_layer

from realtime.bridge.deadletters import DeadLetterWriter
from realtime.bridge.durable import DurableSource, Entry
from realtime.bridge.election import Election, Role
from realtime.bridge.health import HEARTBEAT, Heartbeat
from realtime.bridge.lease import Lease
from realtime.bridge.outbox import Failure, Job, Outbox
from realtime.bridge.router import Refused, Routed, fresh_id, route
from realtime.bridge.sources import PubSubSource
from realtime.codes import RealtimeError
from realtime.conf import get_settings
from realtime.keys import BRIDGE_EVENTS, INGRESS_USER
from realtime.layer import Published, RedisStreamChannelLayer
from realtime.link import RedisLink
from realtime.offline import OfflineWriter
from realtime.registry import OfflineMessage

logger = logging.getLogger(__name__)

_HANDOVER_TIMEOUT: Final = 1.0
_DRAIN_TIMEOUT: Final = 5.0


class Bridge:
    """Runs in one event loop, from ``start`` to ``stop``; reconnects for ever in between."""

    def __init__(self, bridge_id: str | None = None) -> None:
        self.id = bridge_id or make_bridge_id()
        self.conf = get_settings()
        layer = get_channel_layer()
        if not isinstance(layer, RedisStreamChannelLayer):
            raise TypeError("CHANNEL_LAYERS['default'] must be realtime.layer.RedisStreamChannelLayer")
        self.layer = layer.for_loop()
        hosts: list[dict[str, Any]] = [shard.host for shard in self.layer.shards]
        self.control = RedisLink(
            hosts[0], self, connect_timeout=self.conf.redis_connect_timeout, timeout=self.conf.redis_timeout
        )
        self.heartbeat = Heartbeat(self.control, self.id)
        self.counters = self.heartbeat.counters
        self.dead_letters = DeadLetterWriter(self.control, self.conf)
        self.offline = OfflineWriter(self.layer, conf=self.conf, on_lost=self._on_offline_lost)
        self.lease = Lease(self.control, self.id, self.conf.bridge_lease)
        self.outbox = Outbox(self.layer, self.lease.held, trust_persistence=self.conf.trust_persistence)
        self.durable = DurableSource(
            hosts[0], self.conf, self.id, flowing=lambda: self.outbox.flowing, on_entry=self._on_entry
        )
        self.election = Election(
            self.lease,
            self.outbox,
            self.id,
            oldest=self._oldest,
            on_change=self._on_role,
        )
        self.sources = [self._listen(host, first=host is hosts[0]) for host in hosts]
        self._tasks: list[asyncio.Task[None]] = []

    def _listen(self, host: dict[str, Any], *, first: bool) -> PubSubSource:
        return PubSubSource(
            host,
            self.conf,
            events=BRIDGE_EVENTS,
            on_message=self._on_message,
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
        await self.dead_letters.drain(_HANDOVER_TIMEOUT)
        for task in self._tasks:
            task.cancel()
        await self._say_farewell()
        await self._disconnect()
        logger.info("bridge stopped", extra={"bridge": self.id, "drained": drained, "left": self.outbox.count})

    async def _say_farewell(self) -> None:
        try:
            if self.control.connected.is_set():
                await self.lease.release()
                await self.heartbeat.farewell()
        except RealtimeError as error:
            logger.warning("lease not released", extra={"error": str(error)})

    async def _disconnect(self) -> None:
        await self.offline.close()
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

    # Messages

    def _on_message(self, channel: bytes, payload: bytes) -> None:
        self.counters.received += 1
        try:
            routed = self._route(channel, payload)
        except Refused as refusal:
            if self.election.role is not Role.STANDBY:
                self.counters.refused += 1
                self.dead_letters.add(channel, payload, refusal.reason, text=str(refusal), source="pubsub")
            return
        self.election.take(Job(routed, channel, "pubsub", time.monotonic(), self._on_done))

    def _on_entry(self, entry: Entry) -> None:
        self.counters.received += 1
        try:
            if entry.tries > self.conf.ingress_tries:
                raise Refused("poison", f"given up after {self.conf.ingress_tries} deliveries")
            if entry.channel is None or entry.message is None:
                raise Refused("fields", "an entry needs the fields 'channel' and 'message'")
            routed = self._route(entry.channel, entry.message, now=entry.added, make_id=entry.make_id)
        except Refused as refusal:
            self._bury(entry, refusal)
            return
        self.outbox.submit(Job(routed, entry.channel, "stream", time.monotonic(), self._on_done, entry_id=entry.id))

    def _route(
        self, channel: bytes, payload: bytes, *, now: float | None = None, make_id: Callable[[], str] = fresh_id
    ) -> Routed:
        """Route a message; whatever it holds, it never stops the bridge."""
        try:
            return route(channel, payload, self.conf, now=now, make_id=make_id)
        except Refused:
            raise
        except Exception as error:
            logger.exception("message not understood", extra={"size": len(payload)})
            raise Refused("internal", f"the bridge failed on it: {type(error).__name__}") from None

    def _bury(self, entry: Entry, refusal: Refused) -> None:
        self.counters.refused += 1
        kept = self.dead_letters.add(
            entry.channel or b"",
            entry.message or b"",
            refusal.reason,
            text=str(refusal),
            source="stream",
            done=lambda: self.durable.done(entry.id),
        )
        if not kept:
            self.durable.failed(entry.id)

    def _on_done(self, job: Job, result: Published | Failure) -> None:
        if isinstance(result, Failure):
            self._on_failed(job, result)
            return
        if result.duplicate:
            self.counters.duplicate += 1
        else:
            self.counters.published += 1
        routed = job.routed
        if result.receivers == 0 and self.offline.wants(routed.user_id, routed.type):
            self.counters.offline += 1
            if job.source == "stream":
                self.durable.published(job.entry_id)
            self.offline.add(_offline_message(routed), lambda: self._acknowledge(job), since=job.received)
        else:
            self._acknowledge(job)

    def _on_failed(self, job: Job, failure: Failure) -> None:
        if job.source == "stream":
            self.durable.failed(job.entry_id, blame=failure.blame)
        else:
            self.counters.failed += 1
            self.dead_letters.add(job.channel, job.routed.text, failure.reason, text=failure.text, source=job.source)

    def _acknowledge(self, job: Job) -> None:
        if job.source == "stream":
            self.durable.done(job.entry_id)

    def _on_offline_lost(self, message: OfflineMessage, reason: str) -> None:
        self.dead_letters.add(
            (INGRESS_USER + message.user_id).encode(),
            message.text.encode(),
            f"offline_{reason}",
            text="it could not be stored for a user without a connection",
            source="pubsub",
        )

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


def make_bridge_id() -> str:
    """Return a name for this process that is unique and fit for a Redis key."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:64] or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"


def _offline_message(routed: Routed) -> OfflineMessage:
    assert routed.user_id is not None
    return OfflineMessage(
        user_id=routed.user_id,
        message_id=routed.message_id,
        type=routed.type,
        text=routed.text.decode(),
        accepted_at=time.time(),
    )
