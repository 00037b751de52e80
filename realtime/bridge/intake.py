"""What happens to each message of the ingress: routed, published, and kept when it cannot be delivered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from realtime.bridge.deadletters import DeadLetterWriter
from realtime.bridge.durable import DurableSource, Entry
from realtime.bridge.election import Election, Role
from realtime.bridge.health import Counters
from realtime.bridge.outbox import Failure, Job, Outbox
from realtime.bridge.router import Refused, Routed, fresh_id, route
from realtime.conf import RealtimeSettings
from realtime.keys import INGRESS_USER
from realtime.layer import Published
from realtime.offline import OfflineWriter
from realtime.registry import OfflineMessage

logger = logging.getLogger(__name__)


class Intake:
    """Takes messages from both ways in and follows each to its end; synchronous, so that the order holds.

    ``election``, ``outbox``, ``offline`` and ``durable`` are set once by the bridge, which they need as well.
    """

    election: Election
    outbox: Outbox
    offline: OfflineWriter
    durable: DurableSource

    def __init__(self, conf: RealtimeSettings, counters: Counters, dead_letters: DeadLetterWriter) -> None:
        self._conf = conf
        self._counters = counters
        self._dead_letters = dead_letters

    def on_message(self, channel: bytes, payload: bytes) -> None:
        """Take what was published in Redis; the role of this bridge decides what becomes of it."""
        self._counters.received += 1
        try:
            routed = self._route(channel, payload)
        except Refused as refusal:
            if self.election.role is not Role.STANDBY:
                self._counters.refused += 1
                self._dead_letters.add(channel, payload, refusal.reason, text=str(refusal), source="pubsub")
            return
        self.election.take(Job(routed, channel, "pubsub", time.monotonic(), self._on_done))

    def on_entry(self, entry: Entry) -> None:
        """Take an entry of the ingress stream."""
        self._counters.received += 1
        try:
            if entry.tries > self._conf.ingress_tries:
                raise Refused("poison", f"given up after {self._conf.ingress_tries} deliveries")
            if entry.channel is None or entry.message is None:
                raise Refused("fields", "an entry needs the fields 'channel' and 'message'")
            routed = self._route(entry.channel, entry.message, now=entry.added, make_id=entry.make_id)
        except Refused as refusal:
            self._bury(entry, refusal)
            return
        self.outbox.submit(Job(routed, entry.channel, "stream", time.monotonic(), self._on_done, entry_id=entry.id))

    def on_offline_lost(self, message: OfflineMessage, reason: str) -> None:
        """Keep a message for an absent user that the database did not take."""
        self._dead_letters.add(
            (INGRESS_USER + message.user_id).encode(),
            message.text.encode(),
            f"offline_{reason}",
            text="it could not be stored for a user without a connection",
            source="pubsub",
        )

    def _route(
        self, channel: bytes, payload: bytes, *, now: float | None = None, make_id: Callable[[], str] = fresh_id
    ) -> Routed:
        """Route a message; whatever it holds, it never stops the bridge."""
        try:
            return route(channel, payload, self._conf, now=now, make_id=make_id)
        except Refused:
            raise
        except Exception as error:
            logger.exception("message not understood", extra={"size": len(payload)})
            raise Refused("internal", f"the bridge failed on it: {type(error).__name__}") from None

    def _bury(self, entry: Entry, refusal: Refused) -> None:
        self._counters.refused += 1
        kept = self._dead_letters.add(
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
            self._counters.duplicate += 1
        else:
            self._counters.published += 1
        routed = job.routed
        # Of a repetition too: the bridge that published it first may have died before it stored it.
        if result.receivers == 0 and self.offline.wants(routed.user_id, routed.type):
            self._counters.offline += 1
            if job.source == "stream":
                self.durable.published(job.entry_id)
            self.offline.add(_offline_message(routed), lambda: self._acknowledge(job), since=job.received)
        else:
            self._acknowledge(job)

    def _on_failed(self, job: Job, failure: Failure) -> None:
        if job.source == "stream":
            self.durable.failed(job.entry_id, blame=failure.blame)
        else:
            self._counters.failed += 1
            self._dead_letters.add(job.channel, job.routed.text, failure.reason, text=failure.text, source=job.source)

    def _acknowledge(self, job: Job) -> None:
        if job.source == "stream":
            self.durable.done(job.entry_id)


def _offline_message(routed: Routed) -> OfflineMessage:
    assert routed.user_id is not None
    return OfflineMessage(
        user_id=routed.user_id,
        message_id=routed.message_id,
        type=routed.type,
        text=routed.text.decode(),
        accepted_at=time.time(),
    )
