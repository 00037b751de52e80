"""How many connections a user has in the whole cluster, each a seat in Redis (``max_user_connections``).

A seat belongs to a gateway process and counts as long as that process' lease lives, so that a process that dies
takes its seats with it. Taking a seat is one script: two connects at once cannot both get the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from realtime import keys
from realtime.codes import LimitReached
from realtime.conf import RealtimeSettings
from realtime.link import Callback

if TYPE_CHECKING:
    from realtime.layer import Shard

_BATCH: Final = 300
_TTL: Final = 7 * 86_400
"""Seconds after which the seats of a user who did not connect again are forgotten."""

_TAKE: Final = "+"
_RELEASE: Final = "-"
_RESTORE: Final = "="


class Seats:
    """This process's seats; ``replaced(client_id)`` is told whose seat a newer connection took."""

    def __init__(self, shard: Shard, node: str, conf: RealtimeSettings, *, replaced: Callable[[str], None]) -> None:
        self._shard = shard
        self._node = node
        self._limit = conf.max_user_connections
        self._mode = conf.on_too_many
        self._replaced = replaced
        self._queue: list[tuple[str, str, str, Callback]] = []
        self._unreleased: list[tuple[str, str]] = []
        self._loop = asyncio.get_running_loop()

    def take(self, user_id: str, client_id: str, callback: Callback) -> None:
        """Take a seat; ``callback`` gets None, ``LimitReached``, or what went wrong with Redis."""
        if self._limit:
            self._put(_TAKE, user_id, client_id, callback)
        else:
            callback(None)

    def release(self, user_id: str, client_id: str) -> None:
        """Give a seat back, at once or when Redis is there again; one that was never taken does no harm."""
        if self._limit:
            self._put(_RELEASE, user_id, client_id, partial(self._released, user_id, client_id))

    def restore(self, holders: Iterable[tuple[str, str]]) -> None:
        """Write down again who sits here, as (user, client), after Redis forgot it or may not have heard all."""
        if not self._limit:
            return
        unreleased, self._unreleased = self._unreleased, []
        for user_id, client_id in unreleased:
            self.release(user_id, client_id)
        for user_id, client_id in holders:
            self._put(_RESTORE, user_id, client_id, _ignore)

    def _released(self, user_id: str, client_id: str, reply: Any) -> None:
        if isinstance(reply, Exception):
            self._unreleased.append((user_id, client_id))

    # In the order of the calls: a release must not overtake the taking.

    def _put(self, operation: str, user_id: str, client_id: str, callback: Callback) -> None:
        self._queue.append((operation, user_id, client_id, callback))
        if len(self._queue) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        queue, self._queue = self._queue, []
        for start in range(0, len(queue), _BATCH):
            self._send(queue[start : start + _BATCH])

    def _send(self, batch: list[tuple[str, str, str, Callback]]) -> None:
        def answered(reply: Any) -> None:
            answers = [reply] * len(batch) if isinstance(reply, Exception) else reply
            for (_, _, _, callback), answer in zip(batch, answers, strict=True):
                callback(self._result(answer))

        flat = [part for entry in batch for part in entry[:3]]
        fixed = (keys.user_seats(""), self._node, self._limit, self._mode, _TTL)
        self._shard.run("seats", answered, 1, keys.PRESENCE_NODES, *fixed, *flat)

    def _result(self, answer: Any) -> Exception | None:
        if isinstance(answer, Exception):
            return answer
        if answer == b"-":
            return LimitReached("user_connections")
        if answer:
            self._replaced(answer.decode())
        return None


def _ignore(reply: Any) -> None:
    """Take a reply nobody waits for."""
