"""Delivers stored messages to users who have come back; many connects share one read of the store (DESIGN 2.5)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from channels.db import database_sync_to_async

from realtime import metrics
from realtime.connection import Connection
from realtime.registry import OfflineMessage, OfflineStore, offline_store

logger = logging.getLogger(__name__)

_GATHER: Final = 0.01
"""Seconds in which connects are gathered into one read."""
_PATIENCE: Final = 1.0
"""Live messages wait no longer than this for the store."""
_BREATH: Final = 0.02
"""Seconds between looks whether a slow client has taken its portion."""


Release = Callable[..., None]
"""``release(connection, only)`` lets live messages go; with ``only``, not unless that cork still holds them."""


class PendingReader:
    """Reads what waits for newly connected users and sends it before their live messages.

    ``release`` lets a connection's live messages go.
    """

    def __init__(self, release: Release) -> None:
        self._release = release
        self._waiting: dict[Connection, set[str]] = {}
        self._task: asyncio.Task[None] | None = None

    def deliver(self, connection: Connection, already: Iterable[str] = ()) -> None:
        """Send what is stored for the connection's user, except the ids in ``already``, which it has been sent."""
        if connection.closing:
            return
        if offline_store() is None:
            self._release(connection)
            return
        asyncio.get_running_loop().call_later(_PATIENCE, self._release, connection, connection.socket)
        self._queue(connection, already)

    def _queue(self, connection: Connection, already: Iterable[str]) -> None:
        self._waiting.setdefault(connection, set()).update(already)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="pending-reader")

    def _go_on(self, connection: Connection, already: set[str]) -> None:
        """Read the next portion once the client has taken the last one."""
        if connection.closing:
            return
        if connection.socket.buffered_bytes:
            asyncio.get_running_loop().call_later(_BREATH, self._go_on, connection, already)
        else:
            self._queue(connection, already)

    async def _work(self) -> None:
        await asyncio.sleep(_GATHER)
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            served: set[Connection] = set()
            try:
                served = await self._serve(batch)
            except Exception:
                metrics.errors.inc("offline_store")
                logger.exception("stored messages cannot be read")
            for connection, already in batch.items():
                if connection in served:
                    self._go_on(connection, already)
                else:
                    self._release(connection)
        self._task = None

    async def _serve(self, batch: Mapping[Connection, set[str]]) -> set[Connection]:
        """Send a portion of what is stored; returns the connections for which there may be more."""
        store = offline_store()
        if store is None:
            return set()
        user_ids = sorted({connection.principal.user_id for connection in batch})
        pending = await database_sync_to_async(store.pending)(user_ids)
        delivered: dict[tuple[str, str], OfflineMessage] = {}
        served = set()
        for connection, already in batch.items():
            messages = pending.get(connection.principal.user_id, ())
            if connection.closing or not messages:
                continue
            delivered |= {(message.user_id, message.message_id): message for message in messages}
            if self._send(connection, already, messages):
                served.add(connection)
        if delivered:
            await self._mark(store, list(delivered.values()))
        return served

    def _send(self, connection: Connection, already: set[str], messages: Sequence[OfflineMessage]) -> bool:
        """Send what this connection has not been sent; false when that was nothing, so that nobody reads for ever."""
        sent = connection.pending_ids = connection.pending_ids or set()
        fresh = [message for message in messages if message.message_id not in sent]
        for message in fresh:
            sent.add(message.message_id)
            if message.message_id not in already:
                connection.reply(message.text.encode())
        return bool(fresh)

    async def _mark(self, store: OfflineStore, messages: list[OfflineMessage]) -> None:
        await database_sync_to_async(store.mark_delivered)(messages)
