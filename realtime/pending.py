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
        loop = asyncio.get_running_loop()
        self._waiting.setdefault(connection, set()).update(already)
        loop.call_later(_PATIENCE, self._release, connection, connection.socket)
        if self._task is None:
            self._task = loop.create_task(self._work(), name="pending-reader")

    async def _work(self) -> None:
        await asyncio.sleep(_GATHER)
        while self._waiting:
            batch, self._waiting = self._waiting, {}
            try:
                await self._serve(batch)
            except Exception:
                metrics.errors.inc("offline_store")
                logger.exception("stored messages cannot be read")
            for connection in batch:
                self._release(connection)
        self._task = None

    async def _serve(self, batch: Mapping[Connection, set[str]]) -> None:
        store = offline_store()
        if store is None:
            return
        user_ids = sorted({connection.principal.user_id for connection in batch})
        pending = await database_sync_to_async(store.pending)(user_ids)
        delivered: dict[tuple[str, str], OfflineMessage] = {}
        for connection, already in batch.items():
            for message in self._send(connection, already, pending.get(connection.principal.user_id, ())):
                delivered[message.user_id, message.message_id] = message
        if delivered:
            await self._mark(store, list(delivered.values()))

    def _send(
        self, connection: Connection, already: set[str], messages: Sequence[OfflineMessage]
    ) -> Sequence[OfflineMessage]:
        if connection.closing or not messages:
            return ()
        sent = connection.pending_ids = connection.pending_ids or set()
        for message in messages:
            if message.message_id not in already and message.message_id not in sent:
                connection.reply(message.text.encode())
                sent.add(message.message_id)
        return messages

    async def _mark(self, store: OfflineStore, messages: list[OfflineMessage]) -> None:
        await database_sync_to_async(store.mark_delivered)(messages)
