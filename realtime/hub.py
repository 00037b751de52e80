"""This process's connections: takes them in and out, runs what their sessions decide, cuts them when it must."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
from django.utils.translation import gettext as _

from realtime import metrics
from realtime.auth.revocation import is_revoked, revocation_keys
from realtime.auth.tokens import InvalidToken, get_verifier
from realtime.codes import CloseCode, ErrorCode, RealtimeError
from realtime.conf import RealtimeSettings, get_settings
from realtime.connection import Connection
from realtime.control import Control
from realtime.dispatch import Dispatcher, Receiver
from realtime.door import Door
from realtime.fanout import Fanout
from realtime.groups import BROADCAST, CONTROL, room_group, user_group
from realtime.keys import group_channel
from realtime.layer import RedisStreamChannelLayer, StreamLoopLayer
from realtime.link import resolve
from realtime.memberships import Memberships
from realtime.node import NodeInfo
from realtime.offline import OfflineWriter
from realtime.pending import PendingReader
from realtime.permissions import build_policy
from realtime.presence import Presence
from realtime.principal import Principal
from realtime.protocol import message_id
from realtime.registry import offline_store
from realtime.rooms import RoomPolicy
from realtime.sampler import INTERVAL as SAMPLE_INTERVAL
from realtime.sampler import Sampler
from realtime.seats import Seats
from realtime.sequencer import Item, Position
from realtime.session import BROADCAST_STREAM, ROOM_STREAM_PREFIX, USER_STREAM, Session, error_text, resumed_text
from realtime.sockets import Cork, DirectSocket
from realtime.streams import LocalStream, Streams
from realtime.tracing import Tracer

logger = logging.getLogger(__name__)

_EXPIRY_CHECK: Final = 1.0
_START_PAUSE: Final = 0.5
_FILLED_IDS: Final = 1000
_RESUME_WAIT: Final = 5.0
_REVALIDATED_AT_ONCE: Final = 200
_hubs: dict[asyncio.AbstractEventLoop, Hub] = {}


def get_hub() -> Hub:
    """Return the hub of the running event loop; made at the first call."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        for stale in [known for known in _hubs if known.is_closed()]:
            del _hubs[stale]
        hub = _hubs[loop] = Hub(get_settings())
    return hub


class Hub:
    """The gateway of one event loop."""

    def __init__(self, conf: RealtimeSettings) -> None:
        from channels.layers import get_channel_layer

        channel_layer = get_channel_layer()
        if not isinstance(channel_layer, RedisStreamChannelLayer):
            raise RealtimeError("CHANNEL_LAYERS['default'] must be realtime.layer.RedisStreamChannelLayer")
        self.conf = conf
        self.layer: StreamLoopLayer = channel_layer.for_loop()
        self.node = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self.connections: dict[str, Connection] = {}
        self.staff: dict[Connection, None] = {}
        self.users = 0
        self.rooms = 0
        self.draining = False
        self.buffered_bytes: Callable[[], int] = self._count_buffered
        """Bytes that wait for slow clients; a server that knows without counting may put its own function here."""
        self._awaited: dict[Connection, asyncio.TimerHandle] = {}
        self.policy: RoomPolicy = build_policy(conf)
        self.memberships = Memberships(self)
        self.door = Door(conf)
        self.fanout = Fanout(_count_fanout)
        self.streams = Streams(
            self.layer,
            self.fanout,
            on_reset=self._reset,
            on_open=self._opened,
            on_close=self._closed,
            on_filled=self._filled,
        )
        self.offline = OfflineWriter(self.layer)
        self.info = NodeInfo(self)
        self.presence = Presence(
            self.layer,
            self.node,
            conf,
            info=self.info.build,
            clients=lambda: len(self.connections),
            announce=self._announce,
        )
        self.presence.on_registered = self._restore_seats
        self.seats = Seats(self.layer.shards[0], self.node, conf, replaced=self._seat_lost)
        self.pending = PendingReader(self.uncork)
        self.dispatcher = Dispatcher(self)
        self.control = Control(self)
        self.tracer = Tracer(self)
        self._sampler = Sampler(self)
        self._starting: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # Life

    async def ensure_started(self) -> None:
        """Connect to Redis and register this process, once; raises ``Unavailable`` while Redis is not there."""
        if self._starting is None or (self._starting.done() and self._starting.exception() is not None):
            self._starting = asyncio.get_running_loop().create_task(self._start(), name="hub-start")
        await asyncio.shield(self._starting)

    @property
    def ready(self) -> bool:
        """Whether connections can be taken: started, and every Redis reachable."""
        started = self._starting is not None and self._starting.done() and self._starting.exception() is None
        return started and not self.draining and all(shard.up for shard in self.layer.shards)

    @property
    def full(self) -> bool:
        """Whether another connection would be one too many for this process, or it is about to stop."""
        return self.draining or self.door.full

    async def _start(self) -> None:
        self.layer.attach(self)
        key_set = get_verifier().key_set
        if key_set is not None:
            await asyncio.to_thread(key_set.load)
        await self.layer.ready()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.streams.pin(BROADCAST, BROADCAST_STREAM, lambda reply: resolve(future, reply))
        self.layer.join(CONTROL, _ignore)
        async with asyncio.timeout(self.conf.redis_timeout):
            await future
            await self.presence.start()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._repeat(_EXPIRY_CHECK, self._check_expiry), name="hub-expiry"),
            loop.create_task(self.memberships.watch(), name="hub-memberships"),
            loop.create_task(self._repeat(self.conf.top_check_interval, self.streams.check_tops), name="hub-tops"),
            loop.create_task(self._repeat(SAMPLE_INTERVAL, self._sampler.sample), name="hub-samples"),
        ]
        logger.info("gateway node ready", extra={"node": self.node})

    async def start_when_possible(self) -> None:
        """Start now, or as soon as Redis is there."""
        while True:
            try:
                await self.ensure_started()
            except (RealtimeError, TimeoutError) as error:
                logger.warning("waiting for redis", extra={"node": self.node, "reason": str(error)})
                await asyncio.sleep(_START_PAUSE)
            else:
                return

    async def drain(self) -> None:
        """Take no new connections and say so to the cluster; the server closes those that are there."""
        self.draining = True
        with contextlib.suppress(RealtimeError):
            await self.presence.renew()

    async def stop(self) -> None:
        """Leave the cluster; users who do not turn up on another process in time go offline."""
        for task in self._tasks:
            task.cancel()
        await self.presence.stop()
        await self.offline.close()

    async def _repeat(self, interval: float, step: Callable[[], Any]) -> None:
        while True:
            await asyncio.sleep(interval)
            try:
                step()
            except Exception:
                logger.exception("periodic step failed", extra={"node": self.node})

    # Connections

    def attach(self, transport: DirectSocket, principal: Principal, address: str) -> Connection:
        """Make the connection of an accepted socket; its live frames wait until ``connect`` has welcomed it."""
        session = Session(principal, secrets.token_urlsafe(12), self.conf, time.monotonic())
        connection = Connection(Cork(transport, self.conf.write_limit), session, address, time.time())
        self.dispatcher.hold(connection)
        transport.set_receiver(Receiver(self.dispatcher, connection))
        return connection

    async def connect(self, connection: Connection, *, resume: bool = False) -> None:
        """Take a connection in and welcome it; everything it needs of Redis is one pipelined round trip.

        With ``resume`` live messages wait (at most 5 s) for the client's ``resume``, so that it sees all in order.
        Raises ``Unavailable``, ``InvalidToken`` when the token has been revoked, or ``LimitReached`` when the user has
        too many connections.
        """
        await self.ensure_started()
        principal = connection.principal
        group = user_group(principal.user_id)
        future: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        gate = _Gate(future)
        self.connections[connection.client_id] = connection
        if principal.is_staff:
            self.staff[connection] = None
        self.layer.shards[0].link.execute(
            lambda reply: gate.revocations(principal, reply, self.conf.fail_open_revocation),
            "MGET",
            *revocation_keys(principal),
        )
        self.seats.take(principal.user_id, connection.client_id, gate.seat)
        self.presence.arrive(principal.user_id, principal.username, gate.presence)
        self.streams.enter(group, USER_STREAM, principal.user_id, connection, gate.entered)
        async with asyncio.timeout(self.conf.redis_timeout):
            position = await future
        self._welcome(connection, position)
        if resume:
            loop = asyncio.get_running_loop()
            self._awaited[connection] = loop.call_later(_RESUME_WAIT, self.resume_overdue, connection)
        else:
            self.pending.deliver(connection)
        self.dispatcher.release(connection)

    def _welcome(self, connection: Connection, position: Position) -> None:
        connection.user_offset = position.offset
        positions = {USER_STREAM: position}

        def entered(at: Position | Exception) -> None:
            if isinstance(at, Position):
                connection.broadcast_offset = at.offset
                positions[BROADCAST_STREAM] = at

        self.streams.enter(BROADCAST, BROADCAST_STREAM, "", connection, entered)
        connection.reply(connection.session.welcome(self.node, positions, _("Connected")))
        cork = connection.socket
        if isinstance(cork, Cork):
            # Rather live messages before stored ones than a client cut because a room is busy and the database slow.
            cork.on_full = lambda: self.uncork(connection)

    def resume_overdue(self, connection: Connection) -> None:
        """Go on without the ``resume`` that the client has announced."""
        if self.resume_arrived(connection):
            self.pending.deliver(connection)

    def resume_arrived(self, connection: Connection) -> bool:
        """Stop waiting for a ``resume``; False when nobody did."""
        timer = self._awaited.pop(connection, None)
        if timer is not None:
            timer.cancel()
        return timer is not None

    def uncork(self, connection: Connection, only: object = None) -> None:
        """Let a connection's live frames go, those held back first; with ``only``, not unless it is that cork."""
        cork = connection.socket
        if isinstance(cork, Cork) and (only is None or cork is only):
            connection.socket = cork.socket
            for frame in cork.frames:
                connection.socket.send_frame(frame)

    def disconnect(self, connection: Connection) -> None:
        """Forget a connection; safe to call at any time and twice."""
        connection.closing = True
        self.resume_arrived(connection)
        if self.connections.pop(connection.client_id, None) is None:
            return
        self.staff.pop(connection, None)
        principal = connection.principal
        group = user_group(principal.user_id)
        self.seats.release(principal.user_id, connection.client_id)
        for room in connection.session.rooms or ():
            self.streams.leave(room_group(room), connection)
        self.streams.leave(BROADCAST, connection)
        self.streams.leave(group, connection)
        if not self._has_connection(group):
            self.presence.depart(principal.user_id)

    def _has_connection(self, group: str) -> bool:
        stream = self.streams.get(group)
        if stream is None:
            return False
        return bool(stream.members) or any(not connection.closing for connection, _ in stream.waiters)

    def user_connections(self, user_id: str) -> list[Connection]:
        """Return this process's connections of one user."""
        stream = self.streams.get(user_group(user_id))
        if stream is None:
            return []
        return [*stream.members, *(connection for connection, _ in stream.waiters)]

    def close(self, connection: Connection, code: CloseCode, reason: str, *, error: ErrorCode | None = None) -> None:
        """Cut a connection, saying why: with ``error``, an error frame goes before the close frame."""
        if connection.closing:
            return
        connection.closing = True
        self.uncork(connection)
        if error is not None:
            connection.send(error_text(error, reason))
        connection.socket.close(code, reason)

    def recheck(self, user_id: str | None) -> None:
        """Hold memberships against the room policy again: of one user, or of everyone."""
        connections = self.user_connections(user_id) if user_id is not None else list(self.connections.values())
        self.memberships.recheck(connection for connection in connections if connection.session.rooms)

    def adopt(self, connection: Connection, principal: Principal) -> None:
        """Go on with a fresh token of the same user."""
        connection.session.principal = principal
        connection.warned = False
        if principal.is_staff:
            self.staff[connection] = None
        else:
            self.staff.pop(connection, None)

    def _check_expiry(self) -> None:
        now = time.time()
        soon = now + self.conf.expiry_warning
        for connection in [c for c in self.connections.values() if c.session.principal.expires_at <= soon]:
            if connection.principal.expires_at <= now:
                self.close(connection, CloseCode.UNAUTHORIZED, _("The token has expired"), error=ErrorCode.UNAUTHORIZED)
                metrics.errors.inc("token_expired")
            elif not connection.warned and connection.user_offset >= 0:
                connection.warned = True
                connection.reply(connection.session.expiring())

    def _revalidate(self) -> None:
        """Ask again for the revocation of every token: orders to cut were lost while Redis was gone."""
        connections = list(self.connections.values())
        for start in range(0, len(connections), _REVALIDATED_AT_ONCE):
            batch = connections[start : start + _REVALIDATED_AT_ONCE]
            names = [name for connection in batch for name in revocation_keys(connection.principal)]
            self.layer.shards[0].link.execute(partial(self._revalidated, batch), "MGET", *names)

    def _revalidated(self, batch: list[Connection], values: Any) -> None:
        if isinstance(values, Exception):
            return
        at = 0
        for connection in batch:
            count = len(revocation_keys(connection.principal))
            if is_revoked(connection.principal, values[at : at + count]):
                self.close(connection, CloseCode.UNAUTHORIZED, _("The token was revoked"), error=ErrorCode.UNAUTHORIZED)
            at += count

    def _restore_seats(self) -> None:
        self.seats.restore([(c.principal.user_id, c.client_id) for c in self.connections.values()])

    def _seat_lost(self, client_id: str) -> None:
        """Have the connection cut, wherever it is, whose seat a newer one of the same user took."""
        metrics.limits.inc("user_connections")
        event = {
            "type": "realtime.control",
            "op": "disconnect",
            "client_id": client_id,
            "code": int(CloseCode.TOO_MANY_CONNECTIONS),
            "reason": _("Replaced by a newer connection"),
        }
        link = self.layer.shard(CONTROL).link
        link.execute(_ignore, "PUBLISH", group_channel(CONTROL), msgspec.msgpack.encode(event))

    def _count_buffered(self) -> int:
        return sum(connection.socket.buffered_bytes for connection in self.connections.values())

    # What the layer tells (Sink)

    def on_item(self, group: str, item: Item) -> None:
        """Take one message of a stream."""
        if self.tracer.wanted:
            self.tracer.outbound(group, item)
        self.streams.on_item(group, item)

    def on_ephemeral(self, group: str, text: bytes, sent_ms: int) -> None:
        """Take a message that is not part of a stream."""
        stream = self.streams.get(group)
        if stream is not None:
            staff_only = group == BROADCAST and self.conf.presence_audience == "staff"
            self.fanout.deliver(text, self.staff if staff_only else stream.members, sent_ms)

    def on_event(self, group: str, event: dict[str, Any]) -> None:
        """Take a control event, or the hint that stored messages wait for a user."""
        if group == CONTROL:
            self.control.on_event(event)
        elif event.get("type") == "realtime.pending":
            stream = self.streams.get(group)
            if stream is not None:
                for connection in list(stream.members):
                    self.pending.deliver(connection, stream.filled_ids or ())

    def _filled(self, stream: LocalStream, items: list[Item]) -> None:
        """Settle what was stored for a user because this process could not hear it, and then got from the history."""
        if stream.name != USER_STREAM or offline_store() is None:
            return
        ids = {found for item in items if (found := message_id(item.text)) is not None}
        earlier = stream.filled_ids or set()
        stream.filled_ids = ids | earlier if len(earlier) < _FILLED_IDS else ids
        for connection in list(stream.members):
            self.pending.deliver(connection, stream.filled_ids)

    def on_link_up(self, shard: int) -> None:
        """Fill what was missed while a Redis was gone."""
        self.streams.link_up(shard)
        self._revalidate()

    def on_link_down(self, shard: int) -> None:
        """Note that a Redis is gone."""
        metrics.errors.inc("redis")
        logger.warning("redis is gone", extra={"node": self.node, "shard": shard})
        if shard == 0:
            self.presence.link_lost()

    def _reset(self, stream: LocalStream, at: Position) -> None:
        """Tell the members that messages before ``at`` are lost to them, so that they load anew."""
        result = {"recovered": False, "count": 0, "epoch": at.epoch, "offset": at.offset}
        metrics.errors.inc("stream_reset")
        logger.warning("stream history lost", extra={"node": self.node, "group": stream.group})
        for connection in stream.members:
            connection.begin_anew(stream.name, at.offset)
        self.fanout.deliver(resumed_text({stream.name: result}), stream.members, time.time_ns() // 1_000_000)

    def _opened(self, stream: LocalStream) -> None:
        if stream.name.startswith(ROOM_STREAM_PREFIX):
            self.rooms += 1
            self.presence.room_opened(stream.key)
        elif stream.name == USER_STREAM:
            self.users += 1

    def _closed(self, stream: LocalStream) -> None:
        if stream.name.startswith(ROOM_STREAM_PREFIX):
            self.rooms -= 1
            self.presence.room_closed(stream.key)
        elif stream.name == USER_STREAM:
            self.users -= 1

    def _announce(self, text: bytes) -> None:
        self.layer.publish_ephemeral(BROADCAST, text).add_done_callback(_retrieve)


class _Gate:
    """Waits for the four answers a connect needs; the first failure ends it."""

    __slots__ = ("_future", "_left", "_position")

    def __init__(self, future: asyncio.Future[Position]) -> None:
        self._future = future
        self._left = 4
        self._position: Position | None = None

    def revocations(self, principal: Principal, reply: Any, fail_open: bool) -> None:
        """Take the answer to ``revocation_keys``."""
        if isinstance(reply, Exception) and not fail_open:
            resolve(self._future, reply)
        elif not isinstance(reply, Exception) and is_revoked(principal, reply):
            resolve(self._future, InvalidToken("revoked"))
        else:
            self._one()

    def presence(self, reply: Any) -> None:
        """Take the answer of ``Presence.arrive``."""
        self._done(reply)

    def seat(self, reply: Any) -> None:
        """Take the answer of ``Seats.take``."""
        self._done(reply)

    def entered(self, position: Position | Exception) -> None:
        """Take the position of the user's stream."""
        if isinstance(position, Exception):
            resolve(self._future, position)
        else:
            self._position = position
            self._one()

    def _done(self, reply: Any) -> None:
        if isinstance(reply, Exception):
            resolve(self._future, reply)
        else:
            self._one()

    def _one(self) -> None:
        self._left -= 1
        if self._left == 0:
            resolve(self._future, self._position)


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Look at a result nobody waits for, so that a failure is not reported as never retrieved."""
    if not future.cancelled():
        future.exception()


def _count_fanout(recipients: int, seconds: float, sent_ms: int) -> None:
    metrics.sent.inc(recipients)
    metrics.fanout_time.observe(seconds)
    metrics.ingress_latency.observe(max(0.0, time.time() - sent_ms / 1000))


def _ignore(_: Any) -> None:
    """Take a reply nobody waits for."""
