"""Who is online, in the whole cluster: counts in Redis, held by leases of the gateway processes (DESIGN 2.2).

Every process keeps a hash of its own users and rooms; shared hashes count, per user and per room, the processes
that hold one. Both change in one script, so the process that makes the first or last entry learns of the transition,
and nobody else does. The entries of a process whose lease ran out are taken back by whoever notices first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from realtime import keys
from realtime.codes import RealtimeError
from realtime.conf import RealtimeSettings
from realtime.link import Callback, RedisLink
from realtime.protocol import ServerMessage, encode
from realtime.rooms import ADMIN_PAGE_PREFIX

if TYPE_CHECKING:
    from realtime.layer import StreamLoopLayer

logger = logging.getLogger(__name__)

Status = Literal["online", "offline"]

_TICK: Final = 0.1
_BATCH: Final = 500

# KEYS: node's hash, shared hash. ARGV: name, value, name, value … Returns the names that are new in the cluster.
_ENTER: Final = """
local fresh = {}
for i = 1, #ARGV, 2 do
  if redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) == 1 then
    if redis.call('HINCRBY', KEYS[2], ARGV[i], 1) == 1 then fresh[#fresh + 1] = ARGV[i] end
  end
end
return fresh
"""

# KEYS: node's hash, shared hash. ARGV: names. Returns the names that are gone from the cluster.
_EXIT: Final = """
local gone = {}
for i = 1, #ARGV do
  if redis.call('HDEL', KEYS[1], ARGV[i]) == 1 then
    if redis.call('HINCRBY', KEYS[2], ARGV[i], -1) <= 0 then
      redis.call('HDEL', KEYS[2], ARGV[i])
      gone[#gone + 1] = ARGV[i]
    end
  end
end
return gone
"""

# KEYS: nodes, node info, tombstone. ARGV: node, lease ms, info. Returns 1 known, 0 unknown, 2 taken for dead before.
_RENEW: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local known = redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1]) == 0
redis.call('HSET', KEYS[2], 'info', ARGV[3])
if known then return 1 end
if redis.call('DEL', KEYS[3]) == 1 then return 2 end
return 0
"""

# KEYS: nodes, node info. ARGV: node, grace ms. Returns 1 when another process lives, which will take our entries over.
_RETIRE: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
if redis.call('ZCOUNT', KEYS[1], now, '+inf') == 0 then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return 1
"""

# KEYS: nodes, users, rooms. ARGV: prefix of node keys, batch, prefix of seat keys. Takes back what one dead node
# held, seats included. Returns
# {more, user, name, user, name …} with the users that are gone from the cluster.
_SWEEP: Final = """
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local dead = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, 1)[1]
if not dead then return {0} end
local base = ARGV[1] .. dead
local reply = {1}
local function free_seats(user)
  for _, seat in ipairs(redis.call('ZRANGE', ARGV[3] .. user, 0, -1)) do
    if string.sub(seat, -#dead - 1) == ' ' .. dead then redis.call('ZREM', ARGV[3] .. user, seat) end
  end
end
local function take(name, shared, report)
  local entries = redis.call('HRANDFIELD', base .. name, ARGV[2], 'WITHVALUES')
  for i = 1, #entries, 2 do
    local key, value = entries[i], entries[i + 1]
    redis.call('HDEL', base .. name, key)
    if report then free_seats(key) end
    if redis.call('HINCRBY', shared, key, -1) <= 0 then
      redis.call('HDEL', shared, key)
      if report then reply[#reply + 1] = key; reply[#reply + 1] = value end
    end
  end
  return #entries
end
if take(':users', KEYS[2], true) + take(':rooms', KEYS[3], false) == 0 then
  redis.call('ZREM', KEYS[1], dead)
  redis.call('DEL', base)
  redis.call('SET', base .. ':swept', 1, 'EX', 3600)
end
return reply
"""

# KEYS: budget of this second. ARGV: wanted, limit. Returns how many single events may go out.
_BUDGET: Final = """
local used = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], 1000)
local free = tonumber(ARGV[2]) - (used - ARGV[1])
if free < 0 then return 0 end
if free > tonumber(ARGV[1]) then return tonumber(ARGV[1]) end
return free
"""


class Transition(msgspec.Struct, frozen=True):
    """A user came online with the first device, or went offline with the last."""

    user_id: str
    user_name: str
    status: Status


class Presence:
    """This process's part of the cluster's presence. All methods belong to the event loop."""

    def __init__(
        self,
        layer: StreamLoopLayer,
        node: str,
        conf: RealtimeSettings,
        *,
        info: Callable[[], dict[str, Any]],
        clients: Callable[[], int],
        announce: Callable[[bytes], None],
    ) -> None:
        self._shard = layer.shards[0]
        self._node = node
        self._conf = conf
        self._info = info
        self._clients = clients
        self._announce = announce
        self._users: dict[str, str] = {}
        self._rooms: set[str] = set()
        self._leaving: dict[str, float] = {}
        self._leave_queue: deque[tuple[float, str]] = deque()
        self._arrivals: list[tuple[str, str, Callback]] = []
        self._room_changes: dict[str, bool] = {}
        self._transitions: dict[str, Transition] = {}
        self._clients_told = -1
        self._changed = False
        self._doubtful = False
        self.on_registered: Callable[[], None] = _nothing
        """Called when everything of this process was entered in Redis again."""
        self._tasks: list[asyncio.Task[None]] = []
        self._loop = asyncio.get_running_loop()

    # What the hub tells

    def arrive(self, user_id: str, user_name: str, callback: Callback) -> None:
        """Note a user's first local connection; ``callback`` gets None once Redis knows, or an exception."""
        self._leaving.pop(user_id, None)
        if user_id in self._users:
            callback(None)
            return
        self._users[user_id] = user_name
        self._arrivals.append((user_id, user_name, callback))
        if len(self._arrivals) == 1:
            self._loop.call_soon(self._flush_arrivals)

    def depart(self, user_id: str) -> None:
        """Note that a user's last local connection has gone; offline after the grace."""
        if user_id in self._users:
            deadline = time.monotonic() + self._conf.presence_grace
            self._leaving[user_id] = deadline
            self._leave_queue.append((deadline, user_id))

    def room_opened(self, room: str) -> None:
        """Note a room's first local member."""
        self._room_changes[room] = True

    def room_closed(self, room: str) -> None:
        """Note that a room's last local member has left."""
        self._room_changes[room] = False

    def changed(self) -> None:
        """Have clients told to load the presence list anew."""
        self._changed = True

    def link_lost(self) -> None:
        """Note that commands may have run without our knowing; compare with Redis at the next beat."""
        self._doubtful = True

    # Life

    async def start(self) -> None:
        """Register this process and keep its lease."""
        await self.renew()
        self._tasks = [
            self._loop.create_task(self._repeat(self._conf.lease / 4, self._beat), name="presence-beat"),
            self._loop.create_task(self._repeat(_TICK, self._tick), name="presence-tick"),
        ]

    async def stop(self) -> None:
        """Take this process out of the cluster.

        With others alive, the lease ends after the grace: users who have moved to another process by then were never
        offline. The last process takes everybody offline at once.
        """
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        with contextlib.suppress(RealtimeError, TimeoutError):
            async with asyncio.timeout(self._conf.redis_timeout):
                grace = int(self._conf.presence_grace * 1000)
                if await self._run(_RETIRE, (keys.PRESENCE_NODES, keys.node_info(self._node)), self._node, grace):
                    return
                await self._exit_users(list(self._users))
                await self._run(_EXIT, (keys.node_rooms(self._node), keys.PRESENCE_ROOMS), *self._rooms)
                await self._tell()

    async def _repeat(self, interval: float, step: Callable[[], Any]) -> None:
        while True:
            await asyncio.sleep(interval)
            try:
                await step()
            except RealtimeError as error:
                logger.debug("presence waits for redis: %s", error)
            except Exception:
                logger.exception("presence step failed")

    async def _beat(self) -> None:
        await self.renew()
        if self._doubtful:
            await self._compare()
        for gone in await sweep(self._shard.link):
            self._note(gone.user_id, gone.user_name, "offline")

    async def renew(self) -> None:
        """Renew the lease and the entry in the list of nodes; register anew when Redis does not know us."""
        info = msgspec.json.encode(self._info())
        lease = int(self._conf.lease * 1000)
        known = await self._run(
            _RENEW,
            (keys.PRESENCE_NODES, keys.node_info(self._node), keys.node_info(self._node) + ":swept"),
            self._node,
            lease,
            info,
        )
        if known != 1:
            await self._register(silent=known == 0)

    async def _register(self, *, silent: bool) -> None:
        """Enter everything again after Redis lost it (silent: nobody left) or another node took us for dead."""
        users = list(self._users.items())
        for start in range(0, len(users), _BATCH):
            flat = [part for pair in users[start : start + _BATCH] for part in pair]
            fresh = await self._run(_ENTER, (keys.node_users(self._node), keys.PRESENCE_USERS), *flat)
            if not silent:
                for user_id in fresh:
                    self._note(user_id.decode(), self._users.get(user_id.decode(), ""), "online")
        rooms = [part for room in self._rooms for part in (room, "1")]
        for start in range(0, len(rooms), 2 * _BATCH):
            await self._run(
                _ENTER, (keys.node_rooms(self._node), keys.PRESENCE_ROOMS), *rooms[start : start + 2 * _BATCH]
            )
        self.on_registered()
        if silent and users:
            self._changed = True

    async def _compare(self) -> None:
        """Take back entries that Redis holds and we do not, enter those it lacks."""
        held = {raw.decode() for raw in await self._shard.link.call("HKEYS", keys.node_users(self._node))}
        await self._exit_users(list(held - set(self._users)))
        rooms = {raw.decode() for raw in await self._shard.link.call("HKEYS", keys.node_rooms(self._node))}
        await self._run(_EXIT, (keys.node_rooms(self._node), keys.PRESENCE_ROOMS), *(rooms - self._rooms))
        await self._register(silent=False)
        self._doubtful = False
        self._changed = True

    # Batches

    def _flush_arrivals(self) -> None:
        batch, self._arrivals = self._arrivals, []
        for start in range(0, len(batch), _BATCH):
            self._enter(batch[start : start + _BATCH])

    def _enter(self, batch: list[tuple[str, str, Callback]]) -> None:
        def answered(reply: Any) -> None:
            failed = isinstance(reply, Exception)
            for user_id, _, callback in batch:
                if failed:
                    self._users.pop(user_id, None)
                callback(reply if failed else None)
            if not failed:
                for raw in reply:
                    user_id = raw.decode()
                    self._note(user_id, self._users.get(user_id, ""), "online")

        flat = [part for user_id, name, _ in batch for part in (user_id, name)]
        self._shard.link.execute(answered, "EVAL", _ENTER, 2, keys.node_users(self._node), keys.PRESENCE_USERS, *flat)

    async def _tick(self) -> None:
        now = time.monotonic()
        gone: list[str] = []
        while self._leave_queue and self._leave_queue[0][0] <= now:
            deadline, user_id = self._leave_queue.popleft()
            if self._leaving.get(user_id) == deadline:
                gone.append(user_id)
        if gone:
            await self._leave(gone)
        if self._room_changes:
            await self._sync_rooms()
        clients = self._clients()
        if clients != self._clients_told:
            self._clients_told = clients
            await self.renew()
        await self._tell()

    async def _leave(self, gone: list[str]) -> None:
        for start in range(0, len(gone), _BATCH):
            batch = gone[start : start + _BATCH]
            for user_id in batch:
                del self._leaving[user_id]
            try:
                await self._exit_users(batch)
            except RealtimeError:
                self._put_back(gone[start:])
                raise

    def _put_back(self, user_ids: Iterable[str]) -> None:
        for user_id in user_ids:
            self._leaving[user_id] = 0.0
            self._leave_queue.appendleft((0.0, user_id))

    async def _exit_users(self, user_ids: list[str]) -> None:
        if not user_ids:
            return
        names = {user_id: self._users.pop(user_id, "") for user_id in user_ids}
        try:
            gone = await self._run(_EXIT, (keys.node_users(self._node), keys.PRESENCE_USERS), *user_ids)
        except RealtimeError:
            self._users = {**names, **self._users}
            raise
        for raw in gone:
            user_id = raw.decode()
            self._note(user_id, names.get(user_id, ""), "offline")

    async def _sync_rooms(self) -> None:
        changes, self._room_changes = self._room_changes, {}
        opened = [room for room, is_open in changes.items() if is_open and room not in self._rooms]
        closed = [room for room, is_open in changes.items() if not is_open and room in self._rooms]
        self._rooms.update(opened)
        self._rooms.difference_update(closed)
        node, shared = keys.node_rooms(self._node), keys.PRESENCE_ROOMS
        if opened:
            await self._run(_ENTER, (node, shared), *[part for room in opened for part in (room, "1")])
        if closed:
            await self._run(_EXIT, (node, shared), *closed)

    # Telling

    def _note(self, user_id: str, user_name: str, status: Status) -> None:
        """Remember a transition; one that takes back another not yet told cancels it."""
        if user_id.startswith(ADMIN_PAGE_PREFIX):
            return
        earlier = self._transitions.pop(user_id, None)
        if earlier is None or earlier.status == status:
            self._transitions[user_id] = Transition(user_id, user_name or user_id, status)

    async def _tell(self) -> None:
        if self._conf.presence_audience == "nobody":
            self._transitions.clear()
            self._changed = False
            return
        if self._transitions:
            transitions, self._transitions = list(self._transitions.values()), {}
            allowed = await self._allowance(len(transitions))
            for transition in transitions[:allowed]:
                self._announce(status_text(transition))
            self._changed = self._changed or allowed < len(transitions)
        if self._changed and await self._shard.link.call("SET", keys.PRESENCE_CHANGED, 1, "NX", "PX", 1000):
            self._changed = False
            self._announce(changed_text())

    async def _allowance(self, wanted: int) -> int:
        clients = max(1, self._clients())
        limit = max(1, min(self._conf.presence_budget, self._conf.presence_deliveries // clients))
        allowed: int = await self._run(_BUDGET, (f"{keys.PRESENCE_BUDGET}:{int(time.time())}",), wanted, limit)
        return allowed

    async def _run(self, script: str, names: tuple[str, ...], *args: str | bytes | int) -> Any:
        if script in (_ENTER, _EXIT) and not args:
            return []
        return await self._shard.link.call("EVAL", script, len(names), *names, *args)


def _nothing() -> None:
    """Do nothing."""


async def sweep(link: RedisLink) -> list[Transition]:
    """Take back what dead processes held; return who went offline by that. Raises ``Unavailable``."""
    names = (keys.PRESENCE_NODES, keys.PRESENCE_USERS, keys.PRESENCE_ROOMS)
    transitions = []
    more = 1
    while more:
        prefixes = (keys.node_info(""), _BATCH, keys.user_seats(""))
        more, *gone = await link.call("EVAL", _SWEEP, len(names), *names, *prefixes)
        for user_id, name in zip(gone[::2], gone[1::2], strict=True):
            if not user_id.startswith(ADMIN_PAGE_PREFIX.encode()):
                transitions.append(Transition(user_id.decode(), name.decode(), "offline"))
    return transitions


async def sweep_abandoned(link: RedisLink) -> bool:
    """Take back what dead processes held when none lives to do it; nobody is there to be told. Raises ``Unavailable``.

    Returns whether there was nobody left.
    """
    seconds, micros = await link.call("TIME")
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    if await link.call("ZCOUNT", keys.PRESENCE_NODES, now_ms, "+inf"):
        return False
    await sweep(link)
    return True


def status_text(transition: Transition) -> bytes:
    """Build a ``user_status`` message."""
    content = {"user_id": transition.user_id, "user_name": transition.user_name, "status": transition.status}
    return encode(ServerMessage(type="user_status", content=content, timestamp=int(time.time())))


def changed_text() -> bytes:
    """Build the summary that stands for many transitions."""
    content = {"entity": "presence", "action": "changed"}
    return encode(ServerMessage(type="data_update", content=content, timestamp=int(time.time())))
