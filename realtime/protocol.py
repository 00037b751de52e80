"""The wire protocol (DESIGN 2.2): what a message is, how it is read strictly and written once.

A message is one JSON object ``{type, id?, from?, from_name?, to?, room?, content, data?, timestamp}``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from realtime.codes import ErrorCode, ProtocolError

CLIENT_TYPES: Final = frozenset(
    {"ping", "pong", "chat", "join_room", "leave_room", "room_message", "resume", "ack", "refresh_token"}
)
"""What a client may send; other apps add their own through ``realtime.registry``."""

SERVER_TYPES: Final = frozenset(
    {
        "welcome",
        "notification",
        "broadcast",
        "system",
        "refresh",
        "user_status",
        "data_update",
        "error",
        "resumed",
        "token_expiring",
    }
)
"""What only the server or a publisher may send."""

MAX_ID_LENGTH: Final = 128
MAX_TYPE_LENGTH: Final = 64

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_STRINGS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""Strings and brackets; possessive, because backtracking over a string without an end would take quadratic time."""

MessageId = str | int


class ServerMessage(Struct, kw_only=True, rename={"from_": "from"}):
    """A message from the server. ``data`` comes last, so that a stream position can be spliced into the text."""

    type: str
    id: MessageId | UnsetType = UNSET
    from_: str | UnsetType = UNSET
    from_name: str | UnsetType = UNSET
    to: str | UnsetType = UNSET
    room: str | UnsetType = UNSET
    content: Any = None
    timestamp: int
    data: dict[str, Any] | UnsetType = UNSET


class ClientMessage(Struct, kw_only=True):
    """A message from a client, checked in form; what its ``content`` means is the session's matter."""

    type: str
    id: MessageId | None = None
    to: Any = None
    room: Any = None
    content: Any = None
    data: Any = None


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def encode(message: ServerMessage) -> bytes:
    """Return the final JSON text of a message as UTF-8."""
    return _encoder.encode(message)


def encode_for_stream(message: ServerMessage) -> bytes:
    """Like ``encode``, but always ending in a ``data`` object, into which ``splice_stream`` puts the position."""
    data = {} if message.data is UNSET else {k: v for k, v in message.data.items() if k != "stream"}
    message.data = data
    return _encoder.encode(message)


def splice_stream(text: bytes, name: bytes, epoch: str, offset: int) -> bytes:
    """Add ``data.stream`` to a text made by ``encode_for_stream``; ``name`` is already JSON."""
    comma = b"" if text.endswith(b"{}}") else b","
    return b'%b%b"stream":{"name":%b,"epoch":"%b","offset":%d}}}' % (text[:-2], comma, name, epoch.encode(), offset)


def encode_name(name: str) -> bytes:
    """Return a stream's name as JSON, for ``splice_stream``."""
    return _encoder.encode(name)


def decode_object(payload: bytes, *, max_nesting: int, max_values: int | None = None) -> dict[str, Any]:
    """Read one JSON object strictly (RFC 8259), as text or UTF-8 bytes.

    Raises ``ProtocolError`` 400 for anything that is not one: NaN, numbers without a finite 64-bit or double value,
    lone surrogates, repeated keys, or more than ``max_nesting`` levels; and 413 for more than ``max_values`` values,
    whose number costs more to read than their size.
    """
    brackets = payload.count(b"[") + payload.count(b"{")
    if max_values is not None and brackets + payload.count(b",") > max_values and _too_many(payload, max_values):
        text = f"a message may hold at most {max_values} values"
        raise ProtocolError(ErrorCode.TOO_LARGE, text, limit="values")
    if brackets > max_nesting and _deeper(payload, max_nesting):
        raise ProtocolError(ErrorCode.MALFORMED, f"JSON is nested deeper than {max_nesting} levels", limit="nesting")
    try:
        _decoder.decode(payload)
        value = _strict.decode(payload.decode())
    except _Refused as error:
        raise ProtocolError(ErrorCode.MALFORMED, str(error)) from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ProtocolError(ErrorCode.MALFORMED, f"not valid JSON: {_short(error)}") from None
    if not isinstance(value, dict):
        raise ProtocolError(ErrorCode.MALFORMED, "a message must be a JSON object")
    return value


def decode_client_message(payload: bytes, *, max_nesting: int, max_values: int | None = None) -> ClientMessage:
    """Read a client's message; raises ``ProtocolError`` (400, 413, or 422 for a wrong ``id``)."""
    fields = decode_object(payload, max_nesting=max_nesting, max_values=max_values)
    kind = fields.get("type")
    if not isinstance(kind, str) or not kind:
        raise ProtocolError(ErrorCode.MALFORMED, "a message needs a 'type', a non-empty string")
    return ClientMessage(
        type=kind,
        id=_client_id(fields.get("id")),
        to=fields.get("to"),
        room=fields.get("room"),
        content=fields.get("content"),
        data=fields.get("data"),
    )


def _client_id(value: Any) -> MessageId | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ProtocolError(ErrorCode.INVALID, "'id' must be a string or an integer")
    if isinstance(value, int):
        if not -(2**53) < value < 2**53:
            raise ProtocolError(ErrorCode.INVALID, "'id' as a number must fit in 53 bits")
    elif len(value) > MAX_ID_LENGTH or _CONTROL.search(value):
        text = f"'id' must have at most {MAX_ID_LENGTH} characters, no control characters"
        raise ProtocolError(ErrorCode.INVALID, text, limit="id_length" if len(value) > MAX_ID_LENGTH else "")
    return value


def request_id(payload: bytes) -> MessageId | None:
    """Find the ``id`` of a message that is refused for something else; None when there is none to be had."""
    try:
        return _client_id(_id_decoder.decode(payload).id)
    except (ProtocolError, msgspec.MsgspecError, ValueError, RecursionError):
        return None


def message_id(text: bytes) -> str | None:
    """Return the ``id`` of a message that was made here or by a bridge, as text."""
    found = _id_decoder.decode(text).id
    return None if found is None else str(found)


class _WithId(Struct):
    id: Any = None


_id_decoder = msgspec.json.Decoder(_WithId)


def valid_name(value: Any, what: str, *, max_length: int = 512) -> str:
    """Return a user id or room name; raises ``ProtocolError`` 422 for anything else.

    A name has 1 to ``max_length`` Unicode characters and no control characters.
    """
    if not isinstance(value, str) or not value:
        raise ProtocolError(ErrorCode.INVALID, f"{what} must be a non-empty string")
    if len(value) > max_length:
        raise ProtocolError(ErrorCode.INVALID, f"{what} must have at most {max_length} characters", limit="name_length")
    if _CONTROL.search(value):
        raise ProtocolError(ErrorCode.INVALID, f"{what} must not hold control characters")
    return value


def whole_seconds(value: Any) -> int:
    """Return a Unix time as whole seconds; milli-, micro- and nanoseconds are recognised by their size.

    Raises ``ProtocolError`` 422 for anything that is not a time.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ProtocolError(ErrorCode.INVALID, "'timestamp' must be a Unix time")
    while value >= 1e11:
        value = value // 1000
    return int(value)


def user_id_of(value: Any) -> str | None:
    """Return a user id given as text or number; None for anything else (a number becomes its decimal text)."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None


def level(code: int, message: str, kind: str) -> dict[str, Any]:
    """Build the ``content`` of ``welcome`` and ``error``: ``{code, message, level}``."""
    return {"code": int(code), "message": message, "level": kind}


class _Refused(ValueError):
    """JSON that a lenient reader would take."""


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _Refused("a key stands twice in one JSON object")
    return result


def _bounded_int(text: str) -> int:
    if len(text) > 20:
        raise _Refused("an integer is out of range")
    value = int(text)
    if not -(2**63) <= value < 2**64:
        raise _Refused("an integer is out of range")
    return value


_strict = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_bounded_int)


def _too_many(payload: bytes, values: int) -> bool:
    """Count what a JSON text holds, near enough: brackets and commas outside strings."""
    strings = (payload.count(b'"') - payload.count(b'\\"')) // 2
    if strings > 2 * (values + 1):  # not even as keys and values of one object; spares us to look for their ends
        return True
    bare = _STRINGS.sub(b"", payload)
    return bare.count(b",") + bare.count(b"[") + bare.count(b"{") > values


def _deeper(payload: bytes, levels: int) -> bool:
    depth = 0
    for match in _BRACKETS.finditer(payload):
        token = match.group()
        if token in (b"[", b"{"):
            depth += 1
            if depth > levels:
                return True
        elif token in (b"]", b"}"):
            depth -= 1
    return False


def _short(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= 120 else text[:117] + "..."
