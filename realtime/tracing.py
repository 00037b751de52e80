"""Live traces: copies of what one user or room is sent (and what the user sends), for staff, for a while.

A trace is started by a control event, so every process that has members of the group copies to the room
``admin:trace:<id>``, which only a token minted for it opens (``realtime.rooms``). Subscribing to the traced group
instead would make an absent user look present, and their messages would not be kept for them.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from realtime.groups import room_group, user_group
from realtime.protocol import ServerMessage, encode
from realtime.rooms import TRACE_PREFIX

if TYPE_CHECKING:
    from realtime.connection import Connection
    from realtime.hub import Hub
    from realtime.sequencer import Item

LIFETIME: Final = 600
"""Seconds after which a trace ends."""
_MOST: Final = 20
_RATE: Final = 200
"""Copies a second and trace of one process; what is more is counted."""
_LARGEST: Final = 65_536


def new_trace_id() -> str:
    """Return an id that cannot be guessed."""
    return secrets.token_urlsafe(16)


class Trace:
    """One running trace of this process."""

    __slots__ = ("id", "second", "sent", "skipped", "until")

    def __init__(self, trace_id: str, until: float) -> None:
        self.id = trace_id
        self.until = until
        self.second = 0
        self.sent = 0
        self.skipped = 0

    def allowed(self, now: float) -> bool:
        """Count one copy; False over the rate."""
        if int(now) != self.second:
            self.second, self.sent = int(now), 0
        self.sent += 1
        if self.sent > _RATE:
            self.skipped += 1
            return False
        return True


class Tracer:
    """The traces of this process; ``wanted`` is empty, and costs one look per message, while there is none."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.wanted: dict[str, Trace] = {}
        """Group → its trace; a second trace of a group replaces the first."""

    def start(self, event: dict[str, Any]) -> None:
        """Begin, by a control event with ``trace``, ``until`` and ``user_id`` or ``room``."""
        group = user_group(str(event["user_id"])) if "user_id" in event else room_group(str(event["room"]))
        self._expire()
        if len(self.wanted) < _MOST or group in self.wanted:
            until = min(float(event["until"]), time.time() + LIFETIME)
            self.wanted[group] = Trace(str(event["trace"]), until)

    def stop(self, trace_id: str) -> None:
        """End a trace."""
        self.wanted = {group: trace for group, trace in self.wanted.items() if trace.id != trace_id}

    def outbound(self, group: str, item: Item) -> None:
        """Copy a message on its way to the members of a traced group."""
        if group in self.wanted:
            place = {"epoch": item.epoch, "offset": item.offset}
            self._copy(group, "out", item.text, {"sent_ms": item.sent_ms, **place})

    def inbound(self, connection: Connection, payload: bytes) -> None:
        """Copy a message of a traced user, without the token when it carries one."""
        group = user_group(connection.principal.user_id)
        if group in self.wanted:
            self._copy(group, "in", payload, {"client_id": connection.client_id})

    def _copy(self, group: str, way: str, text: bytes, more: dict[str, Any]) -> None:
        trace, now = self.wanted[group], time.time()
        if now >= trace.until:
            del self.wanted[group]
            return
        if not trace.allowed(now):
            return
        room = TRACE_PREFIX + trace.id
        content = {"way": way, "node": self._hub.node, "size": len(text), "skipped": trace.skipped, **more}
        content["message"] = _readable(text)
        copy = encode(ServerMessage(type="trace", room=room, content=content, timestamp=int(now)))
        self._hub.layer.publish_ephemeral(room_group(room), copy).add_done_callback(_retrieve)

    def _expire(self) -> None:
        now = time.time()
        self.wanted = {group: trace for group, trace in self.wanted.items() if trace.until > now}


def _readable(text: bytes) -> Any:
    if len(text) > _LARGEST:
        return text[:1000].decode("utf-8", "replace") + "…"
    try:
        message = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return text[:1000].decode("utf-8", "replace")
    if isinstance(message, dict) and message.get("type") == "refresh_token":
        message["content"] = "…"
    return message


def _retrieve(future: Any) -> None:
    if not future.cancelled():
        future.exception()
