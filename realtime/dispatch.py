"""Carries out what a session decided: the effects of a client's message, one message of a client after the other."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from django.utils.translation import gettext as _

from realtime import metrics
from realtime.auth.revocation import is_revoked, revocation_keys
from realtime.auth.tokens import InvalidToken, get_verifier
from realtime.codes import ErrorCode, ProtocolError, RealtimeError
from realtime.connection import Connection
from realtime.context import MessageContext
from realtime.groups import room_group, user_group
from realtime.layer import Published
from realtime.link import resolve
from realtime.principal import Principal
from realtime.protocol import MessageId
from realtime.recovery import Recovery
from realtime.registry import OfflineMessage, handler_of
from realtime.sequencer import Position
from realtime.session import (
    ROOM_STREAM_PREFIX,
    Chat,
    Close,
    Custom,
    Join,
    Leave,
    RefreshToken,
    Reply,
    Resume,
    RoomSend,
    stream_content,
    stream_of_room,
)
from realtime.sockets import Cork

if TYPE_CHECKING:
    from realtime.hub import Hub

logger = logging.getLogger(__name__)

_BREATH: Final = 0.01
"""Seconds between looks at a client that has to take in what it was sent before it gets more."""


class Dispatcher:
    """Runs effects against the hub. A message waits while an earlier one of its client is not dealt with."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._tasks: set[asyncio.Task[None]] = set()
        self._handlers: dict[type[Any], Callable[[Connection, Any], None]] = {
            Reply: self._reply,
            Close: self._close,
            Chat: self._chat,
            RoomSend: self._room_send,
            Join: self._join,
            Leave: self._leave,
            Resume: self._resume,
            RefreshToken: self._refresh_token,
            Custom: self._custom,
        }

    def receive(self, connection: Connection, payload: bytes) -> None:
        """Take one text message of a client; never raises, never waits."""
        if connection.closing:
            return
        if connection.inbox is not None:
            connection.inbox.append(payload)
            if len(connection.inbox) == self._hub.conf.max_inbound_queue:
                connection.socket.pause_reading()
                metrics.limits.inc("inbound_queue")
            return
        if self._hub.tracer.wanted:
            self._hub.tracer.inbound(connection, payload)
        try:
            effect = connection.session.receive(payload, time.monotonic())
            metrics.received.inc(connection.session.last_type)
            if effect is not None:
                self._handlers[type(effect)](connection, effect)
        except Exception:  # noqa: BLE001  # the outermost edge of a message; logged in _fault
            self._fault(connection, None)

    def backlog(self, connection: Connection) -> int:
        """How many messages of this client wait."""
        return len(connection.inbox) if connection.inbox is not None else 0

    # One after the other

    def hold(self, connection: Connection) -> None:
        """Let the client's further messages wait."""
        connection.inbox = deque()

    def release(self, connection: Connection) -> None:
        """Take up the messages that wait, until one of them has to wait again."""
        inbox, connection.inbox = connection.inbox, None
        if inbox is None or connection.closing:
            return
        if len(inbox) >= self._hub.conf.max_inbound_queue:
            connection.socket.resume_reading()
        while inbox:
            self.receive(connection, inbox.popleft())
            if self._waits(connection, inbox):
                return

    def _waits(self, connection: Connection, rest: deque[bytes]) -> bool:
        """Let the rest wait as well, when the message just taken has to."""
        if connection.inbox is None:
            return False
        connection.inbox.extend(rest)
        if len(connection.inbox) >= self._hub.conf.max_inbound_queue:
            connection.socket.pause_reading()
        return True

    def _spawn(self, connection: Connection, request: MessageId | None, work: Awaitable[None]) -> None:
        """Do asynchronous work for a client; its next messages wait until it is done."""
        self.hold(connection)

        async def run() -> None:
            try:
                await work
            except ProtocolError as error:
                self._refuse(connection, error.code, error.message, request)
            except RealtimeError:
                self._unavailable(connection, request)
            except Exception:  # noqa: BLE001  # the outermost edge of a task; logged in _fault
                self._fault(connection, request)
            finally:
                self.release(connection)

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Effects

    def _reply(self, connection: Connection, effect: Reply) -> None:
        if effect.error is not None:
            metrics.errors.inc(str(int(effect.error)))
            if effect.limit:
                metrics.limits.inc(effect.limit)
        connection.reply(effect.text)

    def _close(self, connection: Connection, effect: Close) -> None:
        metrics.errors.inc(str(int(effect.code)))
        metrics.limits.inc(effect.limit or "other")
        self._hub.close(connection, effect.code, effect.reason)

    def _chat(self, connection: Connection, effect: Chat) -> None:
        def published(reply: Published | Exception) -> None:
            if isinstance(reply, Exception):
                self._unavailable(connection, effect.request)
                return
            if not reply.receivers and not reply.duplicate and "chat" in self._hub.conf.offline_types:
                self._keep(effect)
            self._ack(connection, effect.request, {"id": effect.message_id, "to": effect.user_id})

        self._hub.layer.publish(user_group(effect.user_id), effect.text, published, dedupe_id=effect.dedupe_id)

    def _keep(self, effect: Chat) -> None:
        self._hub.offline.add(
            OfflineMessage(
                user_id=effect.user_id,
                message_id=effect.message_id,
                type="chat",
                text=effect.text.decode(),
                accepted_at=time.time(),
            )
        )

    def _room_send(self, connection: Connection, effect: RoomSend) -> None:
        allowed = self._hub.policy.can_send(connection.principal, effect.room)
        if inspect.isawaitable(allowed):
            self._spawn(connection, effect.request, self._room_send_later(connection, effect, allowed))
        elif allowed:
            self._publish_to_room(connection, effect)
        else:
            self._refuse(connection, ErrorCode.FORBIDDEN, "you may not send to this room", effect.request)

    async def _room_send_later(self, connection: Connection, effect: RoomSend, allowed: Awaitable[bool]) -> None:
        if not await allowed:
            raise ProtocolError(ErrorCode.FORBIDDEN, "you may not send to this room")
        self._publish_to_room(connection, effect)

    def _publish_to_room(self, connection: Connection, effect: RoomSend) -> None:
        def published(reply: Published | Exception) -> None:
            if isinstance(reply, Exception):
                self._unavailable(connection, effect.request)
                return
            stream = stream_content(stream_of_room(effect.room), reply.position)
            self._ack(connection, effect.request, {"id": effect.message_id, "room": effect.room, "stream": stream})

        self._hub.layer.publish(room_group(effect.room), effect.text, published, dedupe_id=effect.dedupe_id)

    def _join(self, connection: Connection, effect: Join) -> None:
        allowed = self._hub.policy.can_join(connection.principal, effect.room)
        if inspect.isawaitable(allowed):
            self._spawn(connection, effect.request, self._join_later(connection, effect, allowed))
        elif allowed:
            self._enter(connection, effect)
        else:
            self._refuse(connection, ErrorCode.FORBIDDEN, "you may not enter this room", effect.request)

    async def _join_later(self, connection: Connection, effect: Join, allowed: Awaitable[bool]) -> None:
        asked_at = self._hub.memberships.orders
        if not await allowed:
            raise ProtocolError(ErrorCode.FORBIDDEN, "you may not enter this room")
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._enter(connection, effect, on_done=lambda: None if entered.done() else entered.set_result(None))
        await entered
        self._hub.memberships.joined(connection, asked_at)

    def _enter(self, connection: Connection, effect: Join, on_done: Callable[[], None] | None = None) -> None:
        """Join the room's stream; when that has to wait for Redis, the client's next messages wait as well."""
        group, name = room_group(effect.room), stream_of_room(effect.room)
        finished = False

        def entered(position: Position | Exception) -> None:
            nonlocal finished
            self._entered(connection, effect, name, position)
            if on_done is not None:
                on_done()
            elif not finished:
                finished = True
            else:
                self.release(connection)

        self._hub.streams.enter(group, name, effect.room, connection, entered)
        if on_done is None and not finished:
            finished = True
            self.hold(connection)

    def _entered(self, connection: Connection, effect: Join, name: str, position: Position | Exception) -> None:
        if isinstance(position, Exception):
            self._unavailable(connection, effect.request)
        elif connection.closing:
            self._hub.streams.leave(room_group(effect.room), connection)
        else:
            rooms = connection.session.rooms = connection.session.rooms or {}
            rooms.setdefault(effect.room, position.offset)
            content = {"room": effect.room, "stream": stream_content(name, position)}
            self._ack(connection, effect.request, content)

    def _leave(self, connection: Connection, effect: Leave) -> None:
        rooms = connection.session.rooms
        if rooms is not None and rooms.pop(effect.room, None) is not None:
            self._hub.streams.leave(room_group(effect.room), connection)
        self._ack(connection, effect.request, {"room": effect.room})

    # Recovery

    def _resume(self, connection: Connection, effect: Resume) -> None:
        self._spawn(connection, effect.request, self._resume_later(connection, effect))

    async def _resume_later(self, connection: Connection, effect: Resume) -> None:
        self._hub.resume_arrived(connection)
        asked_at = self._hub.memberships.orders
        refused = await self._refused(connection, effect.positions)
        if not isinstance(connection.socket, Cork):
            connection.socket = Cork(connection.socket, self._hub.conf.write_limit)
        done: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()
        recovery = Recovery(
            self._hub.layer, self._hub.streams, connection, request=effect.request, done=done.set_result
        )
        recovery.start(effect.positions, refused)
        texts = await done
        self._hub.memberships.joined(connection, asked_at)
        if effect.request is not None:
            self._ack(connection, effect.request, None)
        for text in texts:
            connection.reply(text)
            while connection.socket.buffered_bytes > self._hub.conf.write_limit // 4 and not connection.closing:
                await asyncio.sleep(_BREATH)
        self._hub.pending.deliver(connection, recovery.ids)

    async def _refused(self, connection: Connection, positions: dict[str, Position]) -> set[str]:
        refused = set()
        for name in positions:
            if name.startswith(ROOM_STREAM_PREFIX):
                room = name.removeprefix(ROOM_STREAM_PREFIX)
                if not await self._may_join(connection, room):
                    refused.add(name)
        return refused

    async def _may_join(self, connection: Connection, room: str) -> bool:
        """Ask the policy; a policy that fails refuses, so that the other streams are recovered all the same."""
        try:
            allowed = self._hub.policy.can_join(connection.principal, room)
            return bool(await allowed if inspect.isawaitable(allowed) else allowed)
        except Exception:
            logger.exception("room policy failed", extra={"client_id": connection.client_id})
            metrics.errors.inc("room_policy")
            return False

    # Tokens and other apps' types

    def _refresh_token(self, connection: Connection, effect: RefreshToken) -> None:
        self._spawn(connection, effect.request, self._refresh_later(connection, effect))

    async def _refresh_later(self, connection: Connection, effect: RefreshToken) -> None:
        """Go on with the fresh token: its rooms, its rights, its end."""
        try:
            principal = get_verifier().verify(effect.token)
            if principal.user_id != connection.principal.user_id:
                raise ProtocolError(ErrorCode.FORBIDDEN, _("The token belongs to another user"))
            await self._adopted(connection, principal)
        except InvalidToken as error:
            metrics.errors.inc(f"token_{error.reason}")
            raise ProtocolError(ErrorCode.UNAUTHORIZED, _("The token is not valid")) from None
        await self._hub.memberships.check(connection)
        self._ack(connection, effect.request, {"expires_at": int(principal.expires_at)})

    def _adopted(self, connection: Connection, principal: Principal) -> asyncio.Future[None]:
        """Adopt a token unless it is revoked, in Redis' order: a revocation that comes later finds it adopted."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def answered(values: Any) -> None:
            if isinstance(values, Exception) and not self._hub.conf.fail_open_revocation:
                resolve(future, values)
            elif not isinstance(values, Exception) and is_revoked(principal, values):
                resolve(future, InvalidToken("revoked"))
            else:
                self._hub.adopt(connection, principal)
                resolve(future, None)

        self._hub.layer.shards[0].link.execute(answered, "MGET", *revocation_keys(principal))
        return future

    def _custom(self, connection: Connection, effect: Custom) -> None:
        handler = handler_of(effect.message.type)
        if handler is not None:
            self._spawn(connection, effect.message.id, self._run_handler(connection, effect, handler))

    async def _run_handler(self, connection: Connection, effect: Custom, handler: Any) -> None:
        result = await handler(MessageContext(connection, effect.message, self._hub.layer))
        self._ack(connection, effect.message.id, result)

    # Answers

    def _ack(self, connection: Connection, request: MessageId | None, content: Any) -> None:
        if request is not None:
            connection.reply(connection.session.ack(request, content))

    def _refuse(self, connection: Connection, code: ErrorCode, message: str, request: MessageId | None) -> None:
        metrics.errors.inc(str(int(code)))
        connection.reply(connection.session.error(code, message, request))

    def _unavailable(self, connection: Connection, request: MessageId | None) -> None:
        self._refuse(connection, ErrorCode.UNAVAILABLE, _("Not delivered; try again in a moment"), request)

    def _fault(self, connection: Connection, request: MessageId | None) -> None:
        extra = {"client_id": connection.client_id}
        logger.exception("message handler failed", extra=extra)  # noqa: LOG004  # called from except blocks
        metrics.errors.inc("handler")
        connection.reply(connection.session.error(ErrorCode.INTERNAL, _("Internal error"), request))


class Receiver:
    """Hands a client's text to the dispatcher, without a task switch."""

    __slots__ = ("_connection", "_dispatcher")

    def __init__(self, dispatcher: Dispatcher, connection: Connection) -> None:
        self._dispatcher = dispatcher
        self._connection = connection

    def __call__(self, payload: bytes) -> None:
        """Take one message as UTF-8."""
        self._dispatcher.receive(self._connection, payload)
