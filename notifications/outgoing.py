"""Messages on their way to the gateway (DESIGN 2.3): built, checked and encoded here, before Redis is involved.

Every builder returns an ``Outgoing`` and raises ``InvalidMessage`` for what the gateway would not take.
"""

# The arguments have the names of the message's fields, `id` and `type` among them.
# ruff: noqa: A002

from __future__ import annotations

import json
import sys
import time
import uuid
from typing import Any, Final, cast

import msgspec
from msgspec import UNSET

from notifications.errors import InvalidMessage
from realtime import keys
from realtime.codes import ProtocolError
from realtime.conf import RealtimeSettings
from realtime.protocol import MAX_ID_LENGTH, MAX_TYPE_LENGTH, ServerMessage, decode_object, valid_name

UserId = str | int | uuid.UUID
"""A user's id; numbers and UUIDs are sent as their text, as the gateway knows them from tokens."""
Json = Any
"""What JSON can hold; also dates, UUIDs, decimals, enums, dataclasses and Django's lazy texts."""

MAX_PAYLOAD: Final[int] = RealtimeSettings().max_payload_size
MAX_NESTING: Final[int] = RealtimeSettings().max_nesting


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """One message, ready to be sent: ``payload`` is its JSON for ``channel``."""

    channel: str
    payload: bytes
    id: str
    type: str
    durable: bool = False

    def __repr__(self) -> str:
        """Leave the body out, so that it reaches no log."""
        return f"Outgoing(channel={self.channel!r}, id={self.id!r}, type={self.type!r}, {len(self.payload)} bytes)"


def notification(  # noqa: PLR0913  # the fields of the contract
    user_id: UserId,
    title: str,
    body: str,
    *,
    icon: str | None = None,
    link: str | None = None,
    category: str | None = None,
    data: Json = None,
    id: str | uuid.UUID | None = None,
    durable: bool = False,
) -> Outgoing:
    """Notify one user on all their devices.

    ``data`` is any JSON for the page. With ``durable`` the message survives a time without a bridge. Sending the
    same ``id`` again delivers nothing twice; without one it gets a random one. Returns the message id.
    """
    content = _notification_content(title, body, icon=icon, link=link, category=category, data=data)
    channel = keys.INGRESS_NOTIFICATION + user_name(user_id)
    return _notification(channel, content, id=id, durable=durable)


def broadcast_notification(
    title: str,
    body: str,
    *,
    icon: str | None = None,
    link: str | None = None,
    category: str | None = None,
    data: Json = None,
    id: str | uuid.UUID | None = None,
    durable: bool = False,
) -> Outgoing:
    """Notify everybody who is connected. Arguments as ``send_notification``; returns the message id."""
    content = _notification_content(title, body, icon=icon, link=link, category=category, data=data)
    return _notification(keys.INGRESS_BROADCAST, content, id=id, durable=durable)


def message(
    user_id: UserId,
    content: Json,
    *,
    type: str = "chat",
    from_: UserId | None = None,
    from_name: str | None = None,
    data: dict[str, Any] | None = None,
    id: str | uuid.UUID | None = None,
    durable: bool = False,
) -> Outgoing:
    """Send a message of any type to one user on all their devices.

    ``from_`` and ``from_name`` say who it is from. Returns the message id.
    """
    channel = keys.INGRESS_USER + user_name(user_id)
    return build(channel, content, type=type, from_=from_, from_name=from_name, data=data, id=id, durable=durable)


def room_message(
    room: str,
    content: Json,
    *,
    type: str = "room_message",
    from_: UserId | None = None,
    from_name: str | None = None,
    data: dict[str, Any] | None = None,
    id: str | uuid.UUID | None = None,
    durable: bool = False,
) -> Outgoing:
    """Send a message to the members of a room, ``"chat:room001"``. Returns the message id."""
    channel = keys.INGRESS_ROOM + _name(room, "a room name")
    return build(channel, content, type=type, from_=from_, from_name=from_name, data=data, id=id, durable=durable)


def broadcast(
    content: Json,
    *,
    type: str = "broadcast",
    data: dict[str, Any] | None = None,
    id: str | uuid.UUID | None = None,
    durable: bool = False,
) -> Outgoing:
    """Send a message to everybody; ``type`` may also be ``system`` or ``refresh``. Returns the message id."""
    return build(keys.INGRESS_BROADCAST, content, type=type, data=data, id=id, durable=durable)


def data_update(
    entity: str,
    action: str,
    *,
    id: Json = None,
    data: Json = None,
    message_id: str | uuid.UUID | None = None,
    durable: bool = False,
) -> Outgoing:
    """Tell everybody that something changed: ``("user", "create", id=7)``.

    ``id`` and ``data`` are the entity's, as in the message's ``content``. Returns the message id.
    """
    content = _present(
        entity=_text(entity, "entity", empty=False), action=_text(action, "action", empty=False), id=id, data=data
    )
    return build(keys.INGRESS_BROADCAST, content, type="data_update", id=message_id, durable=durable)


def build(
    channel: str,
    content: Json,
    *,
    type: str,
    from_: UserId | None = None,
    from_name: str | None = None,
    data: dict[str, Any] | None = None,
    id: str | uuid.UUID | None = None,
    durable: bool = False,
) -> Outgoing:
    """Build, check and encode a message for a channel of the ingress."""
    if data is not None and not isinstance(data, dict):
        raise InvalidMessage(f"data must be a dict, not {_kind(data)}")
    message = ServerMessage(
        type=_name(type, "type", max_length=MAX_TYPE_LENGTH),
        id=message_id(id),
        from_=UNSET if from_ is None else user_name(from_, "from_"),
        from_name=UNSET if from_name is None else _text(from_name, "from_name"),
        content=content,
        timestamp=int(time.time()),
        data=UNSET if data is None else data,
    )
    return Outgoing(channel=channel, payload=_encode(message), id=str(message.id), type=type, durable=durable)


def message_id(value: str | uuid.UUID | None) -> str:
    """Return a checked message id; a random one for None."""
    if value is None:
        return uuid.uuid4().hex
    return _name(str(value) if isinstance(value, uuid.UUID) else value, "id", max_length=MAX_ID_LENGTH)


def user_name(value: UserId, what: str = "user_id") -> str:
    """Return a user id as the gateway knows it: 1 to 512 Unicode characters, no control characters."""
    if isinstance(value, uuid.UUID) or (isinstance(value, int) and not isinstance(value, bool)):
        value = str(value)
    return _name(value, what)


def _notification(channel: str, content: Json, *, id: str | uuid.UUID | None, durable: bool) -> Outgoing:
    identity = message_id(id)
    data = {"notification_id": identity, "read": False}
    return build(channel, content, type="notification", data=data, id=identity, durable=durable)


def _notification_content(title: str, body: str, **more: Any) -> dict[str, Any]:
    for name in ("icon", "link", "category"):
        if more[name] is not None:
            more[name] = _text(more[name], name)
    return {"title": _text(title, "title"), "body": _text(body, "body"), **_present(**more)}


def _present(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _name(value: Any, what: str, *, max_length: int = 512) -> str:
    try:
        return valid_name(value, what, max_length=max_length)
    except ProtocolError as error:
        raise InvalidMessage(error.message) from None


def _text(value: Any, what: str, *, empty: bool = True) -> str:
    if not isinstance(value, str):
        if not _is_lazy(value):
            raise InvalidMessage(f"{what} must be a string, not {_kind(value)}")
        value = str(value)
    if not (value or empty):
        raise InvalidMessage(f"{what} must not be empty")
    return cast("str", value)


def _encode(message: ServerMessage) -> bytes:
    try:
        payload = _encoder.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        # Not chained: a UnicodeEncodeError carries the text it is about.
        raise InvalidMessage(f"the message cannot be written as JSON: {str(error)[:200]}") from None
    if len(payload) > MAX_PAYLOAD:
        raise InvalidMessage(f"the message has {len(payload)} bytes; at most {MAX_PAYLOAD} are allowed")
    try:
        decode_object(payload, max_nesting=MAX_NESTING)
    except ProtocolError as error:
        raise InvalidMessage(f"the message cannot be sent: {error.message}") from None
    # msgspec writes NaN and the infinities as null, so only a payload with a null can hold one.
    if b"null" in payload and _holds_nan(message):
        raise InvalidMessage("the message cannot be sent: NaN and infinity are not JSON")
    return payload


def _holds_nan(message: ServerMessage) -> bool:
    try:
        json.dumps(msgspec.to_builtins(message, enc_hook=_plain, str_keys=True), allow_nan=False)
    except ValueError:
        return True
    return False


def _plain(value: Any) -> str:
    if _is_lazy(value):
        return str(value)
    raise TypeError(f"an object of type {_kind(value)} is not JSON")


def _is_lazy(value: Any) -> bool:
    """Tell Django's lazy translations, without importing Django for it."""
    functional = sys.modules.get("django.utils.functional")
    return functional is not None and isinstance(value, functional.Promise)


def _kind(value: Any) -> str:
    return type(value).__name__


_encoder = msgspec.json.Encoder(enc_hook=_plain)
