"""Which bridge is active: a lease in Redis with a fencing token, held by its holder's own clock.

The lease's value is ``<bridge id> <fence> <mark>``. With every renewal the active bridge publishes its next mark on
``keys.BRIDGE_EVENTS``; as all bridges get it on the connection of the ingress, it divides the messages for all of
them at the same place. ``mark`` in the lease is the last one before which everything is done: what came before it,
no standby has to keep.
"""

from __future__ import annotations

import time
from typing import Final

import msgspec

from realtime.keys import BRIDGE_EVENTS, BRIDGE_FENCE, BRIDGE_LEASE
from realtime.link import RedisLink

_MARGIN: Final = 0.9
"""The holder uses this part of the lease, so that it has stopped before the lease can expire."""

_LOOK: Final = """
local value = redis.call('GET', KEYS[1])
local holder, fence, mark
if value then
  holder, fence, mark = string.match(value, '^(%S+) (%d+) (%d+)$')
else
  fence = redis.call('GET', KEYS[2]) or '0'
  mark = '0'
  if ARGV[3] == '1' then
    holder = ARGV[1]
    fence = redis.call('INCR', KEYS[2])
  end
end
if holder == ARGV[1] then
  redis.call('SET', KEYS[1], holder .. ' ' .. fence .. ' ' .. ARGV[4], 'PX', ARGV[2])
  redis.call('PUBLISH', KEYS[3], 'mark ' .. fence .. ' ' .. ARGV[5])
  mark = ARGV[4]
end
return {holder or '', tonumber(fence), tonumber(mark), redis.call('PTTL', KEYS[1])}
"""

_RELEASE: Final = """
local value = redis.call('GET', KEYS[1])
if value and string.match(value, '^(%S+) ') == ARGV[1] then
  redis.call('DEL', KEYS[1])
  redis.call('PUBLISH', KEYS[2], 'released ' .. ARGV[1])
  return 1
end
return 0
"""


class View(msgspec.Struct, frozen=True):
    """The lease as it stood in Redis: ``holder`` is empty when nobody has it, ``left`` the seconds it still runs."""

    holder: str
    fence: int
    mark: int
    left: float


class Lease:
    """This bridge's view of the lease and its right to publish."""

    def __init__(self, link: RedisLink, bridge_id: str, seconds: float) -> None:
        self.seconds = seconds
        self.fence = 0
        """The highest token seen; when ours is just one above it, nobody was active in between."""
        self._id = bridge_id
        self._link = link
        self._valid_until = 0.0

    def held(self) -> bool:
        """Whether this bridge may publish now, by its own clock, whatever became of Redis."""
        return time.monotonic() < self._valid_until

    async def look(self, *, want: bool, done_mark: int = 0, next_mark: int = 0) -> View:
        """Renew the lease, or take it when it is free and wanted; else see who holds it.

        The marks belong to the holder. Raises ``Unavailable`` or ``RedisReplyError``.
        """
        asked = time.monotonic()
        holder, fence, mark, left = await self._link.call(
            "EVAL", _LOOK, 3, BRIDGE_LEASE, BRIDGE_FENCE, BRIDGE_EVENTS,
            self._id, int(self.seconds * 1000), int(want), done_mark, next_mark,
        )  # fmt: skip
        view = View(holder.decode(), fence, mark, max(0, left) / 1000)
        self._valid_until = asked + self.seconds * _MARGIN if view.holder == self._id else 0.0
        return view

    async def release(self) -> None:
        """Let another bridge take over at once. Raises ``Unavailable`` or ``RedisReplyError``."""
        self._valid_until = 0.0
        await self._link.call("EVAL", _RELEASE, 2, BRIDGE_LEASE, BRIDGE_EVENTS, self._id)
