"""What a message published in Redis means (DESIGN 2.3): pure, from (channel, payload) to a message of one stream."""

from __future__ import annotations

import itertools
import secrets
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from realtime.codes import ProtocolError
from realtime.conf import RealtimeSettings
from realtime.groups import BROADCAST, room_group, user_group
from realtime.keys import INGRESS_BROADCAST, INGRESS_NOTIFICATION, INGRESS_ROOM, INGRESS_USER
from realtime.protocol import (
    MAX_TYPE_LENGTH,
    ServerMessage,
    decode_object,
    encode_for_stream,
    valid_name,
    whole_seconds,
)

NOTIFICATION: Final = "notification"
MAX_GIVEN_ID: Final = 512
"""Longest ``id`` of a publisher, in characters."""

_ID_PREFIX: Final = secrets.token_hex(10)
_id_numbers = itertools.count()


class Routed(msgspec.Struct, frozen=True, gc=False):
    """A message on its way to one group.

    ``text`` is its final JSON; ``user_id`` is set when it goes to one user; ``id_given`` tells an id of the
    publisher from one that was filled in here.
    """

    group: str
    text: bytes
    message_id: str
    id_given: bool
    type: str
    user_id: str | None
    timestamp: int

    @property
    def dedupe_id(self) -> str:
        """What marks this message as delivered on its stream; ids of clients live in another name space."""
        return "i:" + self.message_id


class Refused(Exception):  # it is an outcome, not a fault
    """A payload that is no message; ``reason`` is one of a few words, for a metric, the text is for people."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Target(msgspec.Struct, frozen=True, gc=False):
    """Where an ingress channel leads."""

    group: str
    user_id: str | None = None
    room: str | None = None
    notification: bool = False


def fresh_id() -> str:
    """Return a message id nobody else has: random for this process, then counted, as a UUID each costs too much."""
    return f"{_ID_PREFIX}{next(_id_numbers):012x}"


def route(
    channel: bytes,
    payload: bytes,
    conf: RealtimeSettings,
    *,
    now: float | None = None,
    make_id: Callable[[], str] = fresh_id,
) -> Routed:
    """Turn one ingress message into its final text and its group.

    ``now`` (Unix seconds) and ``make_id`` fill what the publisher left out. Raises ``Refused``.
    """
    target = find_target(channel, conf.max_name_length)
    if len(payload) > conf.max_payload_size:
        raise Refused("size", f"the payload has {len(payload)} bytes, more than {conf.max_payload_size}")
    try:
        fields = decode_object(payload, max_nesting=conf.max_nesting)
    except ProtocolError as error:
        raise Refused("json", error.message) from None
    fields = _unwrap(fields)
    kind = _type_of(fields, target)
    given_id = _text_or_integer(fields, "id")
    message_id = given_id or make_id()
    timestamp = _timestamp(fields, now)
    message = ServerMessage(
        type=kind,
        id=message_id,
        from_=_text_or_integer(fields, "from") or msgspec.UNSET,
        from_name=_text(fields, "from_name") or msgspec.UNSET,
        to=target.user_id or _address(fields.get("to")),
        room=target.room or _address(fields.get("room")),
        content=fields.get("content"),
        timestamp=timestamp,
        data=_data(fields, message_id if target.notification else None),
    )
    return Routed(
        target.group, encode_for_stream(message), message_id, given_id is not None, kind, target.user_id, timestamp
    )


def find_target(channel: bytes, max_name_length: int) -> Target:
    """Tell where a channel leads; a room name is everything behind the prefix. Raises ``Refused``."""
    try:
        name = channel.decode()
    except UnicodeDecodeError:
        raise Refused("channel", "the channel name is not UTF-8") from None
    try:
        if name == INGRESS_BROADCAST:
            return Target(BROADCAST)
        if name.startswith(INGRESS_USER):
            user_id = valid_name(name[len(INGRESS_USER) :], "the user id", max_length=max_name_length)
            return Target(user_group(user_id), user_id=user_id)
        if name.startswith(INGRESS_NOTIFICATION):
            user_id = valid_name(name[len(INGRESS_NOTIFICATION) :], "the user id", max_length=max_name_length)
            return Target(user_group(user_id), user_id=user_id, notification=True)
        if name.startswith(INGRESS_ROOM):
            room = valid_name(name[len(INGRESS_ROOM) :], "the room name", max_length=max_name_length)
            return Target(room_group(room), room=room)
    except ProtocolError as error:
        raise Refused("name", error.message) from None
    raise Refused("channel", "unknown channel; known are websocket:broadcast, :user:, :room: and :notification:")


def _unwrap(fields: dict[str, Any]) -> dict[str, Any]:
    """Take the message out of the Go services' envelope ``{"message": {…}}``."""
    if "type" in fields or "message" not in fields:
        return fields
    inner = fields["message"]
    if not isinstance(inner, dict):
        raise Refused("envelope", "'message' must be an object")
    return inner


def _type_of(fields: dict[str, Any], target: Target) -> str:
    if target.notification and ("type" in fields or "content" in fields):
        return NOTIFICATION
    kind = fields.get("type")
    if not isinstance(kind, str) or not 0 < len(kind) <= MAX_TYPE_LENGTH:
        raise Refused("type", f"a message needs a 'type', a string of 1 to {MAX_TYPE_LENGTH} characters")
    return kind


def _text_or_integer(fields: dict[str, Any], name: str) -> str | None:
    """Read an identifier; null and "" (a Go service's zero value) mean that there is none."""
    value = fields.get(name)
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    try:
        return valid_name(value, f"'{name}'", max_length=MAX_GIVEN_ID)
    except ProtocolError as error:
        raise Refused(name, f"{error.message}; or an integer") from None


def _text(fields: dict[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise Refused(name, f"'{name}' must be a string")


def _address(value: Any) -> str | msgspec.UnsetType:
    return value if isinstance(value, str) and value else msgspec.UNSET


def _timestamp(fields: dict[str, Any], now: float | None) -> int:
    value = fields.get("timestamp")
    if value is None or (value == 0 and not isinstance(value, bool)):
        return int(time.time() if now is None else now)
    try:
        return whole_seconds(value)
    except ProtocolError as error:
        raise Refused("timestamp", error.message) from None


def _data(fields: dict[str, Any], notification_id: str | None) -> dict[str, Any]:
    data = fields.get("data")
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise Refused("data", "'data' must be an object")
    if notification_id is not None:
        data.setdefault("notification_id", notification_id)
        data.setdefault("read", False)
    return data
