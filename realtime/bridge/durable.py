"""The durable way in: the ingress stream, read by the active bridge as a consumer group (DESIGN 2.3).

An entry is acknowledged and deleted once its message is published (and stored, if nobody was connected). What a dead
bridge left is claimed by the next active one before it reads on, so that the order holds. Ids that a publisher left
out are made from the entry's id: a second delivery has the same one.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from typing import Any, Final

import msgspec

from realtime import metrics
from realtime.codes import RealtimeError, RedisReplyError
from realtime.conf import RealtimeSettings
from realtime.keys import INGRESS_STREAM
from realtime.link import RedisLink

logger = logging.getLogger(__name__)

GROUP: Final = "bridge"
_COUNT: Final = 200
_MAX_INFLIGHT: Final = 5_000
_CLAIM_EVERY: Final = 1.0
_STRAY_IDLE_MS: Final = 5_000
"""An entry that some bridge took and forgot is claimed after this time."""
_PAUSE: Final = 0.2
_BLAME_PAUSE: Final = 1.0
_FLOW_PAUSE: Final = 0.02
_NAMESPACE: Final = uuid.UUID("6f2f7a3e-57b1-5d0c-9d3f-0c2b7a1f9b11")


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entry of the ingress stream; ``tries`` counts its deliveries to a bridge, this one included."""

    id: bytes
    channel: bytes | None
    message: bytes | None
    tries: int

    def make_id(self) -> str:
        """Return the message id of an entry whose publisher gave none."""
        return uuid.uuid5(_NAMESPACE, self.id.decode()).hex

    @property
    def added(self) -> float:
        """When it was added, Unix seconds."""
        return int(self.id.split(b"-")[0]) / 1000


class DurableSource:
    """Reads while active and while ``flowing`` says that what it reads can be published at once.

    ``on_entry`` takes an entry; who took it calls ``done`` or ``failed`` with its id, once, and ``published`` before
    when ``done`` will take its time. After a failure nothing new is read until the failed entry and all behind it
    have been read again, so that the order holds.
    """

    def __init__(
        self,
        host: dict[str, Any],
        conf: RealtimeSettings,
        bridge_id: str,
        *,
        flowing: Callable[[], bool],
        on_entry: Callable[[Entry], None],
    ) -> None:
        self._link = RedisLink(host, self, connect_timeout=conf.redis_connect_timeout, timeout=conf.redis_timeout)
        self._ack_link: RedisLink | None = None
        self._consumer = bridge_id
        self._flowing = flowing
        self._on_entry = on_entry
        # Shorter than the lease: what a frozen bridge's read still takes is there to be claimed when it expires.
        self._block_ms = max(50, min(1000, int(conf.bridge_lease * 500)))
        self._active = asyncio.Event()
        self._term = 0
        self._again = False
        self._blame = False
        self._failures = 0
        self._inflight: set[bytes] = set()
        self._published: set[bytes] = set()
        self._room = asyncio.Event()
        self._acks: list[bytes] = []
        self._task: asyncio.Task[None] | None = None

    def start(self, ack_link: RedisLink) -> None:
        """Connect; acknowledge over ``ack_link``, because reads block the connection of this source."""
        self._ack_link = ack_link
        self._link.start()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="durable-ingress")

    def activate(self) -> None:
        """Claim what is left over, then read."""
        self._term += 1
        self._active.set()

    def deactivate(self) -> None:
        """Stop reading; entries on their way may still be finished."""
        self._active.clear()

    async def close(self) -> None:
        """Stop reading and disconnect."""
        self.deactivate()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._link.close()

    def published(self, entry_id: bytes) -> None:
        """Note that an entry is past the point where it could be overtaken, though not yet done."""
        self._forget(entry_id)
        self._published.add(entry_id)

    def done(self, entry_id: bytes) -> None:
        """Acknowledge and delete an entry, together with all others of this turn."""
        self._forget(entry_id)
        self._published.discard(entry_id)
        if not self._acks:
            asyncio.get_running_loop().call_soon(self._acknowledge)
        self._acks.append(entry_id)

    def failed(self, entry_id: bytes, *, blame: bool = False) -> None:
        """Have an entry delivered again, here or by another bridge; with ``blame`` it counts as a try."""
        self._again = True
        self._failures += 1
        self._blame = self._blame or blame
        self._forget(entry_id)

    async def link_up(self, link: RedisLink) -> None:
        """Make the group, with the stream, if it is not there."""
        await _ensure_group(link)

    def link_down(self, link: RedisLink) -> None:
        """Nothing to note; the reading task claims what was left open."""

    def link_push(self, link: RedisLink, channel: bytes, data: bytes, pattern: bytes | None) -> None:
        """Nothing is subscribed here."""

    async def _run(self) -> None:
        term = 0
        while True:
            await self._active.wait()
            await self._link.connected.wait()
            # In the same term it was our own connection that failed, which is no try of the message.
            self._again, self._blame, term = True, term != self._term, self._term
            try:
                await self._read_on(term)
            except RealtimeError as error:
                await self._after_error(error)

    async def _after_error(self, error: RealtimeError) -> None:
        if isinstance(error, RedisReplyError):
            logger.warning("durable ingress cannot be read", extra={"error": str(error)})
            metrics.errors.inc("redis")
        await asyncio.sleep(_PAUSE)
        if "NOGROUP" in str(error) and self._link.connected.is_set():
            try:
                await _ensure_group(self._link)
            except RealtimeError as again:
                logger.warning("consumer group not made", extra={"error": str(again)})

    async def _read_on(self, term: int) -> None:
        """Read until this bridge is no longer the active one."""
        looked = time.monotonic()
        while self._active.is_set() and term == self._term:
            if not self._flowing():
                await asyncio.sleep(_FLOW_PAUSE)
            elif self._again:
                await self._read_again()
            elif len(self._inflight) + len(self._published) >= _MAX_INFLIGHT:
                await self._wait_for_room()
            elif time.monotonic() - looked > _CLAIM_EVERY:
                await self._claim(idle_ms=_STRAY_IDLE_MS, counted=True)
                looked = time.monotonic()
            else:
                await self._read_new()

    async def _read_new(self) -> None:
        reply = await self._link.call(
            "XREADGROUP", "GROUP", GROUP, self._consumer, "COUNT", _COUNT, "BLOCK", self._block_ms,
            "STREAMS", INGRESS_STREAM, ">",
        )  # fmt: skip
        for entry_id, fields in _entries_of(reply):
            self._take(entry_id, fields, tries=1)

    async def _read_again(self) -> None:
        """Claim everything not acknowledged, once the fate of all that is on its way is known."""
        while self._inflight:
            await self._wait_for_room()
        if self._failures:
            await asyncio.sleep(_BLAME_PAUSE if self._blame else _PAUSE)
        counted, self._again, self._blame, self._failures = self._blame, False, False, 0
        await self._claim(counted=counted)

    async def _wait_for_room(self) -> None:
        self._room.clear()
        await self._room.wait()

    async def _claim(self, *, idle_ms: int = 0, counted: bool) -> None:
        """Take over what was delivered and never acknowledged, oldest first, whoever had it."""
        start = "-"
        while self._active.is_set() and not self._again:
            pending = await self._link.call("XPENDING", INGRESS_STREAM, GROUP, "IDLE", idle_ms, start, "+", _COUNT)
            if not pending:
                return
            start = "(" + pending[-1][0].decode()
            ours = self._inflight | self._published
            tries = {row[0]: row[3] for row in pending if row[0] not in ours}
            if tries:
                await self._claim_some(tries, idle_ms, counted=counted)

    async def _claim_some(self, tries: dict[bytes, int], idle_ms: int, *, counted: bool) -> None:
        claimed = await self._link.call("XCLAIM", INGRESS_STREAM, GROUP, self._consumer, idle_ms, *tries)
        logger.info("durable entries claimed", extra={"count": len(claimed)})
        for row in claimed:
            if row is not None:
                self._take(row[0], row[1], tries=tries[row[0]] + counted)
        if not counted:
            for entry_id, count in tries.items():
                self._link.execute(
                    _ignore, "XCLAIM", INGRESS_STREAM, GROUP, self._consumer, 0, entry_id, "RETRYCOUNT", count, "JUSTID"
                )

    def _take(self, entry_id: bytes, fields: list[bytes] | None, *, tries: int) -> None:
        if self._again or not self._active.is_set():
            return  # it stays with us, unacknowledged, to be claimed in its turn
        values = dict(zip(fields[::2], fields[1::2], strict=True)) if fields else {}
        self._inflight.add(entry_id)
        self._on_entry(Entry(entry_id, values.get(b"channel"), values.get(b"message"), tries))

    def _forget(self, entry_id: bytes) -> None:
        self._inflight.discard(entry_id)
        self._room.set()

    def _acknowledge(self) -> None:
        acks, self._acks = self._acks, []
        assert self._ack_link is not None
        self._ack_link.execute(_ignore, "XACK", INGRESS_STREAM, GROUP, *acks)
        self._ack_link.execute(_ignore, "XDEL", INGRESS_STREAM, *acks)


async def _ensure_group(link: RedisLink) -> None:
    try:
        await link.call("XGROUP", "CREATE", INGRESS_STREAM, GROUP, "0", "MKSTREAM")
    except RedisReplyError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise


def _entries_of(reply: Any) -> list[tuple[bytes, list[bytes] | None]]:
    """Unpack XREADGROUP's answer: nil, or a map from stream to entries."""
    return [(row[0], row[1]) for rows in (reply or {}).values() for row in rows]


def _ignore(reply: Any) -> None:
    if isinstance(reply, Exception):
        metrics.errors.inc("redis")
