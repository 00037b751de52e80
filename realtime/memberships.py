"""Room memberships held against the room policy while they live, so that a permission taken away ends them."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from realtime import audit, metrics
from realtime.codes import ErrorCode
from realtime.connection import Connection
from realtime.groups import room_group
from realtime.principal import Principal

if TYPE_CHECKING:
    from realtime.hub import Hub

logger = logging.getLogger(__name__)


class Memberships:
    """Asks the policy again, and takes out who may not stay."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._tasks: set[asyncio.Task[None]] = set()
        self.orders = 0
        """How many times a recheck was ordered: a join that began before the last of them is checked again."""

    def recheck(self, connections: Iterable[Connection]) -> None:
        """Ask the policy about all rooms these connections are in; in the background."""
        self.orders += 1
        self._spawn(list(connections))

    def joined(self, connection: Connection, asked_at: int) -> None:
        """Check a membership again whose permission was asked for before the last order to recheck."""
        if asked_at != self.orders:
            self._spawn([connection])

    def _spawn(self, connections: list[Connection]) -> None:
        task = asyncio.get_running_loop().create_task(self._check_all(connections))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _check_all(self, connections: list[Connection]) -> None:
        for connection in connections:
            await self.check(connection)

    async def watch(self) -> None:
        """Hold memberships against a policy that can change, again and again, one sweep after the other."""
        interval = self._hub.conf.room_policy_recheck
        while interval > 0 and self._hub.policy.changes:
            await asyncio.sleep(interval)
            await self.sweep()

    async def sweep(self) -> None:
        """Check every membership whose answer can change; each question is asked once for all who share it."""
        answers: dict[tuple[Principal, str], bool] = {}
        for connection in list(self._hub.connections.values()):
            await asyncio.sleep(0)
            for room in list(connection.session.rooms or ()):
                if not self._hub.policy.may_change(room):
                    continue
                question = (connection.principal, room)
                if question not in answers:
                    answers[question] = await self._may_stay(connection, room)
                if not answers[question]:
                    self.evict(connection, room)

    async def check(self, connection: Connection) -> None:
        """Ask the policy about every room the connection is in."""
        for room in list(connection.session.rooms or ()):
            if not await self._may_stay(connection, room):
                self.evict(connection, room)

    async def _may_stay(self, connection: Connection, room: str) -> bool:
        """Ask the policy; where it fails, whoever is in stays in, and nobody comes in."""
        try:
            allowed = self._hub.policy.can_join(connection.principal, room)
            return bool(await allowed if inspect.isawaitable(allowed) else allowed)
        except Exception:
            logger.exception("room policy failed", extra={"client_id": connection.client_id})
            metrics.errors.inc("room_policy")
            return True

    def evict(self, connection: Connection, room: str) -> None:
        """Take a connection out of a room it may no longer be in, and say so."""
        rooms = connection.session.rooms
        if rooms is None or rooms.pop(room, None) is None:
            return
        self._hub.streams.leave(room_group(room), connection)
        metrics.errors.inc("evicted")
        text = f"you were removed from room {room!r}"
        connection.reply(connection.session.error(ErrorCode.FORBIDDEN, text))
        extra = {"client_id": connection.client_id, "user_id": connection.principal.user_id, "room": room}
        logger.info("evicted from room", extra=extra)
        user_id, client_id = connection.principal.user_id, connection.client_id
        audit.record(audit.Event.EVICTED, target=f"user {user_id} room {room}", detail=client_id)
