"""One connection as a state machine without I/O: a client's message goes in, effects come out (DESIGN 2.2)."""

# ruff: noqa: SLF001  # the table of handlers stands behind its class

from __future__ import annotations

import hashlib
import secrets
import time
from typing import Any, Final

import msgspec
from msgspec import UNSET

from realtime.codes import CloseCode, ErrorCode, ProtocolError
from realtime.conf import RealtimeSettings
from realtime.limits import TokenBucket
from realtime.principal import Principal
from realtime.protocol import (
    CLIENT_TYPES,
    SERVER_TYPES,
    ClientMessage,
    MessageId,
    ServerMessage,
    decode_client_message,
    encode,
    encode_for_stream,
    level,
    request_id,
    user_id_of,
    valid_name,
)
from realtime.registry import handler_of
from realtime.sequencer import Position

BROADCAST_STREAM: Final = "broadcast"
USER_STREAM: Final = "user"
ROOM_STREAM_PREFIX: Final = "room:"


class Reply(msgspec.Struct, frozen=True):
    """Send this text to the client; for the metrics, the code of an error frame and the limit that was reached."""

    text: bytes
    error: ErrorCode | None = None
    limit: str = ""


class Close(msgspec.Struct, frozen=True):
    """Close the connection."""

    code: CloseCode
    reason: str = ""
    limit: str = ""


class Chat(msgspec.Struct, frozen=True):
    """Deliver to every device of a user, or keep it for later."""

    user_id: str
    message_id: str
    text: bytes
    dedupe_id: str | None
    request: MessageId | None


class RoomSend(msgspec.Struct, frozen=True):
    """Deliver to every member of a room the sender is in."""

    room: str
    text: bytes
    dedupe_id: str | None
    request: MessageId | None
    message_id: str


class Join(msgspec.Struct, frozen=True):
    """Ask the policy and join."""

    room: str
    request: MessageId | None


class Leave(msgspec.Struct, frozen=True):
    """Leave a room; one the client is not in is left already."""

    room: str
    request: MessageId | None


class Resume(msgspec.Struct, frozen=True):
    """Recover streams, by name, from the positions the client saw last."""

    positions: dict[str, Position]
    request: MessageId | None


class RefreshToken(msgspec.Struct, frozen=True):
    """Verify a fresh token and go on with it."""

    token: str
    request: MessageId | None


class Custom(msgspec.Struct, frozen=True):
    """Run the handler another app registered for this type."""

    message: ClientMessage


Effect = Reply | Close | Chat | RoomSend | Join | Leave | Resume | RefreshToken | Custom


class Session:
    """State of one connection: who it is, which rooms it is in, how fast it talks."""

    __slots__ = ("_bytes", "_conf", "_messages", "_strikes", "client_id", "last_type", "principal", "rooms")

    def __init__(self, principal: Principal, client_id: str, conf: RealtimeSettings, now: float) -> None:
        self.principal = principal
        self.client_id = client_id
        self.rooms: dict[str, int] | None = None
        """Room → offset at which the membership began."""
        self.last_type = "unknown"
        """Type of the message received last, for the metrics; ``unknown`` unless it is a registered one."""
        self._conf = conf
        self._messages = TokenBucket(conf.message_burst, now)
        self._bytes = TokenBucket(conf.byte_burst, now)
        self._strikes = 0

    # What comes in

    def receive(self, payload: bytes, now: float) -> Effect | None:
        """Take one text message; ``now`` is monotonic seconds. Every refusal is a ``Reply`` with an ``error``."""
        conf = self._conf
        self.last_type = "unknown"
        if not self._messages.take(now, conf.message_rate, conf.message_burst):
            return self._over_rate(payload, "message_rate")
        if not self._bytes.take(now, conf.byte_rate, conf.byte_burst, len(payload)):
            return self._over_rate(payload, "byte_rate")
        if self._strikes:
            # Not back to 0: the few that get through a flood at the allowed rate must not save it.
            self._strikes -= 1
        if len(payload) > conf.max_message_size:
            return Close(CloseCode.TOO_BIG, f"a message may have at most {conf.max_message_size} bytes", "message_size")
        request: MessageId | None = None
        try:
            message = decode_client_message(payload, max_nesting=conf.max_nesting, max_values=conf.max_values)
            request = message.id
            return self._dispatch(message)
        except ProtocolError as error:
            about = request if request is not None else request_id(payload)
            return Reply(self.error(error.code, error.message, about), error.code, error.limit)

    def _over_rate(self, payload: bytes, limit: str) -> Effect:
        self._strikes += 1
        if self._strikes >= self._conf.rate_strikes:
            return Close(CloseCode.RATE, "too many messages", "rate_strikes")
        conf = self._conf
        allowed = f"{conf.message_rate:g} messages" if limit == "message_rate" else f"{conf.byte_rate:g} bytes"
        text = f"too fast: at most {allowed} a second; this one was dropped"
        return Reply(self.error(ErrorCode.RATE, text, request_id(payload)), ErrorCode.RATE, limit)

    def _dispatch(self, message: ClientMessage) -> Effect | None:
        handler = _HANDLERS.get(message.type)
        if handler is not None:
            self.last_type = message.type
            return handler(self, message)
        if message.type in SERVER_TYPES:
            raise ProtocolError(ErrorCode.FORBIDDEN, f"only the server sends {message.type!r}")
        if handler_of(message.type) is not None:
            self.last_type = message.type
            return Custom(message)
        known = ", ".join(sorted(CLIENT_TYPES))
        raise ProtocolError(ErrorCode.MALFORMED, f"unknown type {message.type[:64]!r}; a client may send: {known}")

    def _ping(self, message: ClientMessage) -> Effect:
        return Reply(encode(ServerMessage(type="pong", id=_echo(message.id), timestamp=_now())))

    def _nothing(self, message: ClientMessage) -> Effect | None:
        return None if message.id is None or message.type == "ack" else Reply(self.ack(message.id, None))

    def _chat(self, message: ClientMessage) -> Effect:
        to = user_id_of(message.to)
        user_id = valid_name(to, "'to'", max_length=self._conf.max_name_length)
        outgoing = self._outgoing(message)
        outgoing.to = user_id
        text, message_id = self._sized(outgoing)
        return Chat(user_id, message_id, text, self._dedupe(message, user_id), message.id)

    def _room_message(self, message: ClientMessage) -> Effect:
        room = valid_name(message.room, "'room'", max_length=self._conf.max_name_length)
        if self.rooms is None or room not in self.rooms:
            raise ProtocolError(ErrorCode.FORBIDDEN, "you are not a member of this room")
        outgoing = self._outgoing(message)
        outgoing.room = room
        text, message_id = self._sized(outgoing)
        return RoomSend(room, text, self._dedupe(message, room), message.id, message_id)

    def _join(self, message: ClientMessage) -> Effect:
        room = valid_name(message.content, "'content' (the room)", max_length=self._conf.max_name_length)
        if self.rooms is not None and len(self.rooms) >= self._conf.max_rooms and room not in self.rooms:
            raise self._too_many_rooms()
        return Join(room, message.id)

    def _leave(self, message: ClientMessage) -> Effect:
        room = valid_name(message.content, "'content' (the room)", max_length=self._conf.max_name_length)
        return Leave(room, message.id)

    def _resume(self, message: ClientMessage) -> Effect:
        streams = message.content.get("streams") if isinstance(message.content, dict) else None
        if not isinstance(streams, dict):
            raise ProtocolError(ErrorCode.INVALID, "'content.streams' must be an object")
        if len(streams) > self._conf.max_rooms + 2:
            raise ProtocolError(ErrorCode.INVALID, f"at most {self._conf.max_rooms + 2} streams can be resumed")
        positions = {name: _position(name, value, self._conf.max_name_length) for name, value in streams.items()}
        rooms = {name.removeprefix(ROOM_STREAM_PREFIX) for name in positions if name.startswith(ROOM_STREAM_PREFIX)}
        if len(rooms.union(self.rooms or ())) > self._conf.max_rooms:
            raise self._too_many_rooms()
        return Resume(positions, message.id)

    def _too_many_rooms(self) -> ProtocolError:
        text = f"a connection may be in at most {self._conf.max_rooms} rooms"
        return ProtocolError(ErrorCode.FORBIDDEN, text, limit="rooms")

    def _refresh_token(self, message: ClientMessage) -> Effect:
        token = message.content.get("token") if isinstance(message.content, dict) else message.content
        if not isinstance(token, str) or not token:
            raise ProtocolError(ErrorCode.INVALID, "'content.token' must be a string")
        return RefreshToken(token, message.id)

    # What goes out

    def _outgoing(self, message: ClientMessage) -> ServerMessage:
        if message.content is None:
            raise ProtocolError(ErrorCode.INVALID, f"a {message.type} needs 'content'")
        if message.data is not None and not isinstance(message.data, dict):
            raise ProtocolError(ErrorCode.INVALID, "'data' must be an object")
        return ServerMessage(
            type=message.type,
            id=secrets.token_hex(12) if message.id is None else message.id,
            from_=self.principal.user_id,
            from_name=self.principal.username or self.principal.user_id,
            content=message.content,
            data=message.data or UNSET,
            timestamp=_now(),
        )

    def _sized(self, outgoing: ServerMessage) -> tuple[bytes, str]:
        text = encode_for_stream(outgoing)
        if len(text) > self._conf.max_payload_size:
            raise ProtocolError(ErrorCode.TOO_LARGE, "the message is too large to be delivered", limit="payload_size")
        return text, str(outgoing.id)

    def _dedupe(self, message: ClientMessage, target: str) -> str | None:
        """Key under which a repetition of this very message is recognised.

        Clients count their ids from 1 on every connection, so the id alone would swallow other messages: sender,
        target and content belong to it.
        """
        if message.id is None:
            return None
        parts = msgspec.json.encode([self.principal.user_id, message.type, target, message.id, message.content])
        return "c:" + hashlib.blake2b(parts, digest_size=16).hexdigest()

    def welcome(self, node: str, positions: dict[str, Position], greeting: str) -> bytes:
        """Build the first frame."""
        data = {
            "client_id": self.client_id,
            "user_id": self.principal.user_id,
            "server_time": _now(),
            "heartbeat": self._conf.heartbeat,
            "node": node,
            "expires_at": int(self.principal.expires_at),
            "streams": {name: {"epoch": at.epoch, "offset": at.offset} for name, at in positions.items()},
        }
        content = level(0, greeting, "info")
        return encode(ServerMessage(type="welcome", content=content, timestamp=_now(), data=data))

    def ack(self, request: MessageId, content: Any) -> bytes:
        """Build the ``ack`` of an accepted message."""
        return encode(ServerMessage(type="ack", id=request, content=content, timestamp=_now()))

    def error(self, code: ErrorCode, message: str, request: MessageId | None = None) -> bytes:
        """Build an ``error`` frame."""
        return error_text(code, message, request)

    def expiring(self) -> bytes:
        """Build the warning that the token will expire: ``token_expiring`` with ``content {expires_at}``."""
        content = {"expires_at": int(self.principal.expires_at)}
        return encode(ServerMessage(type="token_expiring", content=content, timestamp=_now()))

    def resumed(self, streams: dict[str, dict[str, Any]], request: MessageId | None = None) -> bytes:
        """Build the answer to ``resume``: per stream ``{recovered, count, epoch, offset}`` or ``{…, error}``."""
        return resumed_text(streams, request)


_HANDLERS: Final = {
    "ping": Session._ping,
    "pong": Session._nothing,
    "ack": Session._nothing,
    "chat": Session._chat,
    "room_message": Session._room_message,
    "join_room": Session._join,
    "leave_room": Session._leave,
    "resume": Session._resume,
    "refresh_token": Session._refresh_token,
}


def error_text(code: ErrorCode, message: str, request: MessageId | None = None) -> bytes:
    """Build an ``error`` frame: ``content {code, message, level:"error"}``."""
    content = level(code, message, "error")
    return encode(ServerMessage(type="error", id=_echo(request), content=content, timestamp=_now()))


def resumed_text(streams: dict[str, dict[str, Any]], request: MessageId | None = None) -> bytes:
    """Build a ``resumed`` frame."""
    return encode(ServerMessage(type="resumed", id=_echo(request), content={"streams": streams}, timestamp=_now()))


def stream_of_room(room: str) -> str:
    """Name of a room's stream on the wire."""
    return ROOM_STREAM_PREFIX + room


def stream_content(name: str, position: Position) -> dict[str, Any]:
    """Build a stream position as it stands in an ``ack``."""
    return {"name": name, "epoch": position.epoch, "offset": position.offset}


def _position(name: str, value: Any, max_name_length: int) -> Position:
    if name.startswith(ROOM_STREAM_PREFIX):
        valid_name(name.removeprefix(ROOM_STREAM_PREFIX), "a room", max_length=max_name_length)
    elif name not in (BROADCAST_STREAM, USER_STREAM):
        raise ProtocolError(ErrorCode.INVALID, f"there is no stream {name[:64]!r}")
    epoch, offset = (value.get("epoch"), value.get("offset")) if isinstance(value, dict) else (None, None)
    if not isinstance(epoch, str) or isinstance(offset, bool) or not isinstance(offset, int):
        raise ProtocolError(ErrorCode.INVALID, f"stream {name[:64]!r} needs 'epoch', a string, and 'offset', a number")
    if len(epoch) > 64 or not epoch.isalnum() or not 0 <= offset < 2**53:
        return Position("none", 0)
    return Position(epoch, offset)


def _echo(request: MessageId | None) -> Any:
    return UNSET if request is None else request


def _now() -> int:
    return int(time.time())
