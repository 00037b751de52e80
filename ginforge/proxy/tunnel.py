"""Proxied WebSockets: accepted when the upstream has accepted, then messages both ways until one side ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode

import aiohttp
from yarl import URL

from ginforge.proxy import metrics
from ginforge.proxy.answers import ClientGone, Receive, Refusal, Scope, Send, answer
from ginforge.proxy.balance import Instance
from ginforge.proxy.conf import Route
from ginforge.proxy.headers import host_of, upstream_headers
from ginforge.proxy.identity import subprotocols_for_upstream
from realtime.auth.credentials import SUBPROTOCOL
from realtime.auth.origin import origin_allowed
from realtime.principal import Principal

if TYPE_CHECKING:
    from ginforge.proxy.application import ProxyApplication

logger = logging.getLogger(__name__)

_BAD_GATEWAY: Final = 1014
_UNSENDABLE: Final = frozenset((1004, 1005, 1006, 1015))
_FORBIDDEN: Final = 4403
Upstream = aiohttp.ClientWebSocketResponse


async def serve(proxy: ProxyApplication, route: Route, scope: Scope, receive: Receive, send: Send, ident: str) -> None:
    """Serve one WebSocket of a proxied path."""
    await receive()
    try:
        upstream, instance = await _open(proxy, route, scope, ident)
    except Refusal as refusal:
        metrics.refused.labels(route.name, refusal.code).inc()
        await _deny(scope, send, refusal, ident)
        return
    with instance.busy(), metrics.websockets.labels(route.name).track_inprogress():
        instance.breaker.succeed()
        try:
            offered = scope.get("subprotocols") or ()
            fallback = SUBPROTOCOL if route.settings.auth != "none" and SUBPROTOCOL in offered else None
            headers = [(b"x-request-id", ident.encode())]
            await send({"type": "websocket.accept", "subprotocol": upstream.protocol or fallback, "headers": headers})
            await _tunnel(upstream, receive, send)
        finally:
            await upstream.close()


async def _open(proxy: ProxyApplication, route: Route, scope: Scope, ident: str) -> tuple[Upstream, Instance]:
    """Connect to an instance; a handshake is idempotent, so another is tried. Raises ``Refusal``."""
    if not route.settings.websocket:
        raise Refusal(404, "no_websocket", "There are no WebSockets here")
    if not origin_allowed(scope):
        raise Refusal(403, "bad_origin", "This page may not connect")
    target, principal, _ = await proxy.admit(route, scope)
    if principal is not None:
        target = _without_token(target)
    tried: list[Instance] = []
    budget = time.monotonic() + proxy.conf.connect_budget
    while len(tried) < proxy.conf.max_attempts and time.monotonic() < budget:
        instance = proxy.pools[route.name].pick(time.monotonic(), tried)
        if instance is None:
            break
        tried.append(instance)
        try:
            return await _connect(
                proxy, route, instance, scope, target=target, principal=principal, ident=ident
            ), instance
        except aiohttp.WSServerHandshakeError as error:
            if error.status < 500:
                status = error.status if error.status >= 400 else 502
                raise Refusal(status, "upstream_refused", f"The {route.name} service refused the WebSocket") from error
            _failed(route, instance, "handshake", ident)
        except (aiohttp.ClientError, TimeoutError, OSError):
            _failed(route, instance, "connect_failed", ident)
    retry = ((b"retry-after", b"1"),)
    if tried:
        raise Refusal(502, "upstream_failed", f"The {route.name} service could not be reached", retry)
    raise Refusal(503, "no_live_upstream", f"No instance of the {route.name} service is alive", retry)


async def _connect(
    proxy: ProxyApplication,
    route: Route,
    instance: Instance,
    scope: Scope,
    *,
    target: str,
    principal: Principal | None,
    ident: str,
) -> Upstream:
    settings = route.settings
    host = host_of(scope) if settings.preserve_host else instance.target.label
    headers = upstream_headers(scope, ident, principal, host=host)
    offered = scope.get("subprotocols") or ()
    protocols = subprotocols_for_upstream(scope) if settings.auth != "none" else tuple(offered)
    with instance.busy():
        try:
            async with asyncio.timeout(settings.first_byte_timeout):
                return await proxy.parts.session.ws_connect(
                    URL(instance.target.url + target, encoded=True),
                    protocols=protocols,
                    headers=headers,
                    max_msg_size=proxy.conf.max_message,
                    autoclose=True,
                )
        finally:
            instance.breaker.abandon()


def _failed(route: Route, instance: Instance, kind: str, ident: str) -> None:
    instance.fail(time.monotonic(), kind)
    label = instance.target.label
    metrics.failures.labels(route.name, label, kind).inc()
    logger.warning("upstream failed", extra={"route": route.name, "instance": label, "kind": kind, "request_id": ident})


async def _tunnel(upstream: Upstream, receive: Receive, send: Send) -> None:
    """Pass messages on until one side ends; the other is then ended with the same code."""
    inward = asyncio.ensure_future(_from_client(upstream, receive))
    outward = asyncio.ensure_future(_from_upstream(upstream, send))
    try:
        await asyncio.wait((inward, outward), return_when=asyncio.FIRST_COMPLETED)
        if inward.done() and isinstance(inward.exception(), ClientGone):
            return
        if outward.done() and outward.exception() is None:
            code, reason = outward.result()
            await send({"type": "websocket.close", "code": code, "reason": reason})
        else:
            await send({"type": "websocket.close", "code": _BAD_GATEWAY, "reason": "upstream lost"})
    finally:
        for task in (inward, outward):
            task.cancel()
        await asyncio.gather(inward, outward, return_exceptions=True)


async def _from_client(upstream: Upstream, receive: Receive) -> None:
    while True:
        event: dict[str, Any] = await receive()
        if event["type"] == "websocket.disconnect":
            code = event.get("code") or 1000
            with contextlib.suppress(aiohttp.ClientError, OSError, ValueError):
                await upstream.close(code=1001 if code in _UNSENDABLE else code)
            raise ClientGone
        if event.get("text") is not None:
            await upstream.send_str(event["text"])
        else:
            await upstream.send_bytes(event["bytes"])


async def _from_upstream(upstream: Upstream, send: Send) -> tuple[int, str]:
    """Pass the upstream's messages on; returns the code and the reason of its end."""
    reason = ""
    while True:
        message = await upstream.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            await send({"type": "websocket.send", "text": message.data})
        elif message.type is aiohttp.WSMsgType.BINARY:
            await send({"type": "websocket.send", "bytes": message.data})
        else:
            reason = message.extra if isinstance(message.extra, str) else ""
            break
    code = upstream.close_code
    if code is None or code in _UNSENDABLE:
        return (1000, "") if code == 1005 else (_BAD_GATEWAY, "upstream lost")
    return code, reason


def _without_token(target: str) -> str:
    """Take the gateway's token out of the query: it has been read, and services write their queries to logs."""
    path, _, query = target.partition("?")
    if "token" not in query and "%" not in query:
        return target
    kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "token"]
    return f"{path}?{urlencode(kept)}" if kept else path


async def _deny(scope: Scope, send: Send, refusal: Refusal, ident: str) -> None:
    """Refuse the upgrade with the answer itself where the server can, else with its own refusal (403)."""
    if "websocket.http.response" in (scope.get("extensions") or {}):
        await answer(send, refusal, ident, kind="websocket.http.response")
    else:
        await send({"type": "websocket.close", "code": _FORBIDDEN})
