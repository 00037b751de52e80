"""Keeps messages for users without a connection: batches to the registered store, in a thread, off the hot path."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol

import msgspec
from django.db import InterfaceError, OperationalError, close_old_connections

from realtime import metrics
from realtime.codes import RealtimeError
from realtime.conf import RealtimeSettings, get_settings
from realtime.groups import user_group
from realtime.registry import OfflineMessage, OfflineStore, offline_store

logger = logging.getLogger(__name__)

PENDING_EVENT: Final = "realtime.pending"
"""Type of the channel-layer event that tells a user's group that messages were stored for this user."""

MAX_WAITING: Final = 20_000
MAX_BYTES: Final = 64 * 1_048_576
MAX_AGE: Final = 120.0
"""Seconds a message may wait for the database."""
MAX_BATCH: Final = 500
_NOTIFY_AT_ONCE: Final = 200
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_UNTOLD_PAUSE: Final = 1.0

OnLost = Callable[[OfflineMessage, str], None]
"""Gets a message that could not be stored and one of a few words: ``overflow``, ``database``, ``rejected``."""


class GroupSender(Protocol):
    """The part of a channel layer that is needed here."""

    async def group_send(self, group: str, message: dict[str, Any]) -> Any:
        """Send an event to a group; raises ``Unavailable``."""


class _Entry(msgspec.Struct, gc=False):
    message: OfflineMessage
    added: float
    done: Callable[[], None] | None

    @property
    def cost(self) -> int:
        return 300 + len(self.message.text)


class OfflineWriter:
    """Stores messages in batches every ``conf.offline_flush`` seconds, in the order they were added.

    While the database is away it tries again for ``MAX_AGE`` seconds. After a commit, ``realtime.pending`` is sent to
    the groups of the users concerned, so that a gateway to which one has connected meanwhile delivers at once.
    Works in one event loop; without a registered store it does nothing.
    """

    def __init__(
        self, layer: GroupSender, *, conf: RealtimeSettings | None = None, on_lost: OnLost | None = None
    ) -> None:
        self._layer = layer
        self._conf = conf or get_settings()
        self._on_lost = on_lost or _log_lost
        self._entries: deque[_Entry] = deque()
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._thread: ThreadPoolExecutor | None = None
        self._untold: set[str] = set()

    def wants(self, user_id: str | None, kind: str) -> bool:
        """Whether a message of this type to this user is kept when the user has no connection."""
        return user_id is not None and kind in self._conf.offline_types and offline_store() is not None

    def add(
        self, message: OfflineMessage, done: Callable[[], None] | None = None, *, since: float | None = None
    ) -> None:
        """Store a message soon; ``done`` is called when it is committed, or was given up and told to ``on_lost``.

        ``since`` is when it came (monotonic seconds); by default now.
        """
        entry = _Entry(message, time.monotonic() if since is None else since, done)
        if offline_store() is None:
            _finish(entry)
        elif len(self._entries) >= MAX_WAITING or self._size >= MAX_BYTES:
            self._lose(entry, "overflow")
        else:
            self._entries.append(entry)
            self._size += entry.cost
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._work(), name="offline-writer")

    def oldest(self) -> float | None:
        """Return when the oldest message not yet stored came (monotonic seconds)."""
        return self._entries[0].added if self._entries else None

    def __len__(self) -> int:
        return len(self._entries)

    async def drain(self, timeout: float) -> bool:
        """Store what waits without further delay; false when some is left after ``timeout`` seconds."""
        self._hurry.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=timeout)
        self._hurry.clear()
        return not self._entries

    async def close(self) -> None:
        """Stop; what waits is told to ``on_lost``."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for entry in self._take(len(self._entries)):
            self._lose(entry, "database")
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    async def _work(self) -> None:
        try:
            while self._entries or self._untold:
                await self._pause(self._conf.offline_flush)
                while self._entries:
                    await self._store_batch([self._entries[i] for i in range(min(MAX_BATCH, len(self._entries)))])
                if self._untold:
                    await self._pause(_UNTOLD_PAUSE)
                    await self._tell_users(())
        finally:
            self._task = None

    async def _store_batch(self, batch: Sequence[_Entry]) -> None:
        """Store these entries, the first that wait, and take them out; only then are they done."""
        stored = await self._store_with_patience(batch)
        await self._tell_users({entry.message.user_id for entry in stored})
        kept = set(map(id, stored))
        for entry in self._take(len(batch)):
            if id(entry) in kept:
                _finish(entry)
            else:
                self._lose(entry, "rejected" if entry.added + MAX_AGE > time.monotonic() else "database")
        metrics.offline_messages.inc("stored", len(stored))

    async def _store_with_patience(self, batch: Sequence[_Entry]) -> Sequence[_Entry]:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._in_thread([entry.message for entry in batch])
                return batch
            except (OperationalError, InterfaceError) as error:
                if time.monotonic() - batch[0].added > MAX_AGE:
                    return await self._store_singly(batch)
                metrics.offline_messages.inc("retried", len(batch))
                logger.warning("database away, offline messages wait", extra={"error": str(error), "count": len(batch)})
                await self._pause(pause)
                pause = min(_LONGEST_PAUSE, pause * 2)
            except Exception:
                logger.exception("a batch of offline messages was rejected", extra={"count": len(batch)})
                return await self._store_singly(batch)

    async def _store_singly(self, batch: Sequence[_Entry]) -> Sequence[_Entry]:
        """Find the messages that the store can keep, so that a bad one takes no other with it."""
        stored = []
        for entry in batch:
            try:
                await self._in_thread([entry.message])
                stored.append(entry)
            except Exception:  # the entry is told to on_lost
                logger.exception("an offline message was rejected", extra={"message_id": entry.message.message_id})
        return stored

    async def _in_thread(self, messages: Sequence[OfflineMessage]) -> None:
        store = offline_store()
        if store is None:
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="offline-store")
        await asyncio.get_running_loop().run_in_executor(self._thread, _store, store, messages)

    async def _tell_users(self, user_ids: Iterable[str]) -> None:
        waiting = [*self._untold, *user_ids]
        self._untold.clear()
        for start in range(0, len(waiting), _NOTIFY_AT_ONCE):
            some = waiting[start : start + _NOTIFY_AT_ONCE]
            sends = (self._layer.group_send(user_group(user_id), {"type": PENDING_EVENT}) for user_id in some)
            results = await asyncio.gather(*sends, return_exceptions=True)
            for user_id, result in zip(some, results, strict=True):
                if isinstance(result, RealtimeError):
                    metrics.errors.inc("redis")
                    self._untold.add(user_id)
                elif isinstance(result, BaseException):
                    raise result

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
            await asyncio.sleep(0.01)
        except TimeoutError:
            pass

    def _take(self, count: int) -> list[_Entry]:
        entries = [self._entries.popleft() for _ in range(count)]
        self._size -= sum(entry.cost for entry in entries)
        return entries

    def _lose(self, entry: _Entry, reason: str) -> None:
        metrics.offline_messages.inc("lost")
        self._on_lost(entry.message, reason)
        _finish(entry)


def _store(store: OfflineStore, messages: Sequence[OfflineMessage]) -> None:
    """Call the store in this thread, whose database connection may have been idle for long."""
    close_old_connections()
    try:
        store.store(messages)
    finally:
        close_old_connections()


def _finish(entry: _Entry) -> None:
    if entry.done is not None:
        entry.done()


def _log_lost(message: OfflineMessage, reason: str) -> None:
    logger.error(
        "offline message lost",
        extra={"user_id": message.user_id, "message_id": message.message_id, "reason": reason},
    )
