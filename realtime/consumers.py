"""The Channels consumer of the gateway: one per WebSocket, thin, between the socket and the hub."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from channels.consumer import AsyncConsumer
from django.utils.translation import gettext as _

from realtime import audit, metrics
from realtime.auth.credentials import Credentials, token_from_scope
from realtime.auth.origin import origin_allowed
from realtime.auth.tokens import InvalidToken, get_verifier
from realtime.codes import CloseCode, ErrorCode, LimitReached, RealtimeError
from realtime.connection import Connection
from realtime.hub import Hub, get_hub
from realtime.principal import Principal
from realtime.session import error_text
from realtime.sockets import EXTENSION, AsgiSocket, DirectSocket

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class GatewayConsumer(AsyncConsumer):  # type: ignore[misc]  # Channels has no types
    """Takes one WebSocket through its life; deliveries do not pass here, they go from the hub to the socket."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the connection until it ends (ASGI)."""
        hub = get_hub()
        await receive()
        if not origin_allowed(scope):
            metrics.connections.inc("origin")
            audit.record(audit.Event.ORIGIN_REFUSED, address=_address(scope), detail=_origin(scope))
            await send({"type": "websocket.close", "code": CloseCode.FORBIDDEN})
            return
        try:
            if hub.draining:
                raise LimitReached("connections")
            door = hub.door.enter(_host(scope))
        except LimitReached as error:
            await _deny(scope, send, error)
            return
        connection = None
        try:
            connection = await self._open(hub, scope, receive, send)
            del scope, send
            if connection is not None:
                await self._serve(hub, connection, receive)
        finally:
            hub.door.leave(door)
            if connection is not None:
                hub.disconnect(connection)

    async def _open(self, hub: Hub, scope: Scope, receive: Receive, send: Send) -> Connection | None:
        """Accept and look at the token; None when the client was refused, which it has been told."""
        credentials = token_from_scope(scope, allow_query=hub.conf.allow_query_token)
        await send({"type": "websocket.accept", "subprotocol": credentials.subprotocol if credentials else None})
        transport: DirectSocket | None = (scope.get("extensions") or {}).get(EXTENSION)
        socket = transport if transport is not None else AsgiSocket(send, hub.conf.write_limit)
        try:
            principal = _verify(credentials)
        except InvalidToken as error:
            await self._unauthorized(socket, receive, error, _address(scope))
            return None
        except RealtimeError as error:
            await self._unavailable(socket, receive, error)
            return None
        return await self._welcome(hub, socket, principal, scope, receive)

    async def _welcome(
        self, hub: Hub, socket: DirectSocket, principal: Principal, scope: Scope, receive: Receive
    ) -> Connection | None:
        connection = hub.attach(socket, principal, _address(scope))
        try:
            await hub.connect(connection, resume=b"resume=1" in scope.get("query_string", b""))
        except InvalidToken as error:
            hub.disconnect(connection)
            await self._unauthorized(socket, receive, error, _address(scope))
            return None
        except LimitReached as error:
            hub.disconnect(connection)
            await self._too_many(socket, receive, error)
            return None
        except (RealtimeError, TimeoutError) as error:
            hub.disconnect(connection)
            await self._unavailable(socket, receive, error)
            return None
        except BaseException:
            hub.disconnect(connection)
            raise
        metrics.connections.inc("accepted")
        return connection

    async def _serve(self, hub: Hub, connection: Connection, receive: Receive) -> None:
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                metrics.disconnections.inc(str(event.get("code", CloseCode.NORMAL)))
                return
            text = event.get("text")
            if text is None:
                hub.close(connection, CloseCode.UNSUPPORTED_DATA, "text frames only")
                continue
            hub.dispatcher.receive(connection, text.encode())
            while hub.dispatcher.backlog(connection) >= hub.conf.max_inbound_queue:
                await asyncio.sleep(0.01)

    async def _unauthorized(self, socket: DirectSocket, receive: Receive, error: InvalidToken, address: str) -> None:
        """Tell why before closing; the answer is the same for every kind of bad token."""
        metrics.connections.inc("unauthorized")
        metrics.errors.inc(f"token_{error.reason}")
        audit.record(audit.Event.TOKEN_REFUSED, target="/ws", address=address, detail=error.reason)
        _say(socket, ErrorCode.UNAUTHORIZED, _("The token is missing or not valid"))
        socket.close(CloseCode.UNAUTHORIZED, "unauthorized")
        await _closed(receive)

    async def _too_many(self, socket: DirectSocket, receive: Receive, error: LimitReached) -> None:
        metrics.connections.inc("limit")
        metrics.limits.inc(error.limit)
        _say(socket, ErrorCode.RATE, _("The user has too many connections"))
        socket.close(CloseCode.TOO_MANY_CONNECTIONS, "too many connections")
        await _closed(receive)

    async def _unavailable(self, socket: DirectSocket, receive: Receive, error: Exception) -> None:
        metrics.connections.inc("unavailable")
        logger.warning("connection refused", extra={"reason": type(error).__name__})
        _say(socket, ErrorCode.UNAVAILABLE, _("The gateway cannot take connections now; try again in a moment"))
        socket.close(CloseCode.TRY_AGAIN_LATER, "retry_after_ms=1000")
        await _closed(receive)


def _verify(credentials: Credentials | None) -> Principal:
    if credentials is None:
        raise InvalidToken("missing")
    return get_verifier().verify(credentials.token)


def _say(socket: DirectSocket, code: ErrorCode, message: str) -> None:
    socket.send_frame(socket.make_frame(error_text(code, message)))


async def _closed(receive: Receive) -> None:
    """Wait until the peer has gone, dropping what it still sends."""
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def _deny(scope: Scope, send: Send, error: LimitReached) -> None:
    """Refuse the upgrade with 503 or 429 where the server can, else with its own refusal."""
    metrics.connections.inc("limit")
    metrics.limits.inc(error.limit)
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": CloseCode.TRY_AGAIN_LATER})
        return
    headers = [(b"retry-after", b"5"), (b"content-type", b"text/plain")]
    status = 429 if error.limit == "address_connections" else 503
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"too many connections\n"})


def _origin(scope: Scope) -> str:
    return " ".join(value.decode("latin-1") for name, value in scope["headers"] if name == b"origin")


def _host(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return f"{client[0]}:{client[1]}" if client else ""
