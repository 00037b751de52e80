"""Orders and questions from staff, the admin and other processes: events of the ``control`` group.

``{"type": "realtime.control", "op": "disconnect", "user_id" | "client_id" | "jti": …, "code", "reason"}`` cuts
connections. ``{"op": "connections", "reply_to": key, …filters}`` has every process push one JSON list to ``key``.
``{"op": "trace", "trace": id, "until": Unix seconds, "user_id" | "room": …}`` begins a trace, ``untrace`` ends it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from realtime import metrics
from realtime.codes import CloseCode, ErrorCode
from realtime.connection import Connection
from realtime.groups import room_group

if TYPE_CHECKING:
    from realtime.hub import Hub

logger = logging.getLogger(__name__)

_REPLY_TTL: Final = 10
_MOST: Final = 1000
_ERRORS: Final = {
    CloseCode.FORBIDDEN: ErrorCode.FORBIDDEN,
    CloseCode.TOO_MANY_CONNECTIONS: ErrorCode.RATE,
    CloseCode.RATE: ErrorCode.RATE,
}


class Control:
    """Carries out control events on this process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def on_event(self, event: dict[str, Any]) -> None:
        """Take one control event; a malformed one is logged and dropped."""
        try:
            operation = event.get("op")
            if operation == "disconnect":
                self._disconnect(event)
            elif operation == "connections":
                self._answer(event)
            elif operation == "recheck":
                self._hub.recheck(event.get("user_id"))
            elif operation == "trace":
                self._hub.tracer.start(event)
            elif operation == "untrace":
                self._hub.tracer.stop(str(event["trace"]))
            else:
                logger.warning("unknown control operation", extra={"op": str(operation)[:40]})
        except (KeyError, TypeError, ValueError):
            logger.exception("malformed control event")

    def _disconnect(self, event: dict[str, Any]) -> None:
        code = CloseCode(event.get("code", CloseCode.UNAUTHORIZED))
        error = _ERRORS.get(code, ErrorCode.UNAUTHORIZED)
        reason = str(event.get("reason") or "disconnected")[:100]
        for connection in self._targets(event):
            metrics.errors.inc("disconnected")
            self._hub.close(connection, code, reason, error=error)

    def _targets(self, event: dict[str, Any]) -> list[Connection]:
        if event.get("client_id") is not None:
            found = self._hub.connections.get(str(event["client_id"]))
            return [found] if found is not None else []
        if event.get("user_id") is not None:
            return self._hub.user_connections(str(event["user_id"]))
        jti = event.get("jti")
        return [c for c in self._hub.connections.values() if jti is not None and c.principal.jti == jti]

    def _answer(self, event: dict[str, Any]) -> None:
        limit = min(int(event.get("limit", 100)), _MOST)
        rows: list[dict[str, Any]] = []
        for connection in self._candidates(event):
            if len(rows) >= limit:
                break
            if _matches(connection, event):
                rows.append(describe(connection, self._hub.node))
        link = self._hub.layer.shards[0].link
        key = str(event["reply_to"])
        link.execute(_ignore, "RPUSH", key, msgspec.json.encode(rows))
        link.execute(_ignore, "EXPIRE", key, _REPLY_TTL)

    def _candidates(self, event: dict[str, Any]) -> Iterable[Connection]:
        if event.get("user_id") is not None:
            return self._hub.user_connections(str(event["user_id"]))
        if event.get("room") is not None:
            stream = self._hub.streams.get(room_group(str(event["room"])))
            return list(stream.members) if stream is not None else ()
        return list(self._hub.connections.values())


def describe(connection: Connection, node: str) -> dict[str, Any]:
    """Return what staff may see of a connection; times in Unix seconds, sizes in bytes."""
    principal = connection.principal
    return {
        "client_id": connection.client_id,
        "user_id": principal.user_id,
        "username": principal.username,
        "is_staff": principal.is_staff,
        "address": connection.address,
        "node": node,
        "connected_at": connection.connected_at,
        "expires_at": principal.expires_at,
        "rooms": sorted(connection.session.rooms or ()),
        "buffered": connection.socket.buffered_bytes,
    }


def _matches(connection: Connection, event: dict[str, Any]) -> bool:
    address, client_id = event.get("address"), event.get("client_id")
    if client_id is not None and connection.client_id != client_id:
        return False
    return address is None or connection.address.rpartition(":")[0] == address or connection.address == address


def _ignore(reply: Any) -> None:
    """Take a reply nobody waits for."""
