"""The ASGI application in front of Django: what every proxied request goes through, in order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import aiohttp
from django.conf import settings as django_settings
from django.http.request import split_domain_port, validate_host

from ginforge.proxy import metrics, status, tunnel
from ginforge.proxy.answers import ClientGone, Header, Receive, Refusal, Scope, Send, answer
from ginforge.proxy.balance import Instance, Pool
from ginforge.proxy.body import RequestBody, too_large
from ginforge.proxy.conf import ProxySettings, Route, build_settings
from ginforge.proxy.exchange import Exchange, until_client_leaves
from ginforge.proxy.headers import host_of, request_id, upstream_headers
from ginforge.proxy.health import HealthChecks
from ginforge.proxy.identity import Gatekeeper
from ginforge.proxy.paths import raw_target, segment_of
from ginforge.proxy.rates import RateLimits
from realtime.principal import Principal

logger = logging.getLogger(__name__)


class ProxyApplication:
    """Serves the proxied paths; opens its connections at the first request, so that it costs nothing unused."""

    def __init__(self, conf: ProxySettings, *, redis_url: str, allowed_hosts: list[str]) -> None:
        self.conf = conf
        self.pools = {name: Pool.of(route.targets, conf) for name, route in conf.routes.items()}
        self._redis_url = redis_url
        self._allowed_hosts = allowed_hosts
        self._parts: Parts | None = None

    def takes(self, scope: Mapping[str, Any]) -> bool:
        """Tell whether a request is the proxy's."""
        return segment_of(scope["path"]) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request or WebSocket of a proxied path."""
        ident = request_id(scope["headers"])
        route = self.conf.routes[segment_of(scope["path"]) or ""]
        if scope["type"] == "websocket":
            await tunnel.serve(self, route, scope, receive, send, ident)
            return
        await self._serve(route, scope, receive, send, ident)

    async def _serve(self, route: Route, scope: Scope, receive: Receive, send: Send, ident: str) -> None:
        body = RequestBody(receive, route.settings.max_body)
        exchange: Exchange | None = None
        outcome = 0
        try:
            exchange = await self._exchange(route, scope, body, send, ident)
            work = asyncio.ensure_future(_in_time(exchange))
            await until_client_leaves(work, body)
            outcome = exchange.status
        except ClientGone:
            logger.debug("client went away", extra={"request_id": ident})
        except Refusal as refusal:
            outcome = refusal.status
            metrics.refused.labels(route.name, refusal.code).inc()
            if exchange is None or not exchange.started:
                await answer(send, refusal, ident)
        finally:
            metrics.requests.labels(route.name, str(outcome)).inc()

    async def _exchange(self, route: Route, scope: Scope, body: RequestBody, send: Send, ident: str) -> Exchange:
        target, principal, told = await self.admit(route, scope)
        limit = route.settings.max_body
        if 0 < limit < _declared_length(scope):
            raise too_large(limit)
        await body.begin()

        def headers(instance: Instance) -> Any:
            host = host_of(scope) if route.settings.preserve_host else instance.target.label
            return upstream_headers(scope, ident, principal, host=host, drop_length=body.complete)

        pool = self.pools[route.name]
        return Exchange(
            self.parts.session, self.conf, route, pool, scope["method"], target, headers, body, send, ident, told
        )

    async def admit(self, route: Route, scope: Scope) -> tuple[str, Principal | None, list[Header]]:
        """Check path, host, token and limits; returns the target, the user and headers for the answer.

        Raises ``Refusal``.
        """
        target = raw_target(scope, route.name)
        domain, _ = split_domain_port(host_of(scope))
        if not domain or not validate_host(domain, self._allowed_hosts):
            raise Refusal(400, "bad_host", "This host is not served here")
        if not route.targets:
            raise Refusal(503, "no_upstream", f"No instance of the {route.name} service is configured")
        principal = await self.parts.gatekeeper.admit(scope, route.settings.auth)
        return target, principal, await self.parts.rates.check(_limits(route, scope, principal))

    @property
    def parts(self) -> Parts:
        """What needs a running event loop."""
        if self._parts is None:
            self._parts = Parts(self)
        return self._parts

    def describe(self) -> list[status.InstanceStatus]:
        """Return the state of every instance as this process sees it."""
        return [status.describe(name, instance) for name, pool in self.pools.items() for instance in pool.instances]

    async def close(self) -> None:
        """End the health checks and close all connections."""
        if self._parts is not None:
            await self._parts.close()
            self._parts = None


class Parts:
    """The proxy's connections and its background task."""

    def __init__(self, proxy: ProxyApplication) -> None:
        conf = proxy.conf
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=conf.keepalive, ttl_dns_cache=10),
            # For WebSockets, which take no timeouts of their own for this; requests bring theirs.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=conf.connect_budget / 2),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=64 * 1024,
            max_field_size=64 * 1024,
        )
        self.gatekeeper = Gatekeeper(proxy._redis_url)  # noqa: SLF001 (its own part)
        self.rates = RateLimits(proxy._redis_url)  # noqa: SLF001
        self.health = HealthChecks(conf, proxy.pools, self.session)
        self.health.start()

    async def close(self) -> None:
        """Close everything."""
        await self.health.stop()
        await self.session.close()
        await self.gatekeeper.close()
        await self.rates.close()


def build_proxy() -> ProxyApplication:
    """Build the project's proxy from Django's settings."""
    conf = build_settings(getattr(django_settings, "PROXY", {}), getattr(django_settings, "UPSTREAMS", {}))
    redis_url: str = django_settings.REDIS_URLS[0]
    return ProxyApplication(conf, redis_url=redis_url, allowed_hosts=django_settings.ALLOWED_HOSTS)


async def _in_time(exchange: Exchange) -> None:
    name = exchange.route.name
    try:
        async with asyncio.timeout(exchange.route.settings.total_timeout or None):
            await exchange.run()
    except TimeoutError:
        raise Refusal(504, "upstream_timeout", f"The {name} service did not answer in time") from None


def _declared_length(scope: Scope) -> int:
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    if len(lengths) > 1 or not all(value.isdigit() for value in lengths):
        raise Refusal(400, "bad_header", "The Content-Length is not one number")
    return int(lengths[0]) if lengths else 0


def _limits(route: Route, scope: Scope, principal: Principal | None) -> list[tuple[str, str, str]]:
    client = f"user:{principal.user_id}" if principal else f"address:{(scope.get('client') or ['-'])[0]}"
    found = []
    if route.settings.rate:
        found.append(("route", route.settings.rate, route.name))
    if route.settings.client_rate:
        found.append(("client", route.settings.client_rate, f"{route.name}:{client}"))
    return found
