"""Pooled Redis connections, blocking and asyncio, safe over threads, forks and event loops."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from typing import Any

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import ConstantBackoff

from notifications.configuration import ClientSettings
from notifications.deadline import DeadlineRetry, connection_class
from notifications.errors import NotConfigured

_RETRIES = 2
_RETRY_DELAY = 0.05


class BlockingConnections:
    """The pool of this process; a forked child makes its own and leaves the parent's connections alone."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._client: redis.Redis | None = None
        self._pid = 0

    def client(self) -> redis.Redis:
        """Return the client of this process."""
        client = self._client
        if client is None or self._pid != os.getpid():
            # No lock: a fork could copy it locked. Of two pools made at once, one is dropped unused.
            self._client = client = self._make()
            self._pid = os.getpid()
        return client

    def _make(self) -> redis.Redis:
        settings = self._settings
        options = _options(settings)
        options["retry"] = DeadlineRetry(ConstantBackoff(_RETRY_DELAY), _RETRIES)
        try:
            pool = redis.BlockingConnectionPool.from_url(
                settings.url, connection_class=connection_class(settings.url), timeout=settings.timeout, **options
            )
        except ValueError as error:
            raise NotConfigured(f"REDIS_URL cannot be used: {error}") from None
        return redis.Redis(connection_pool=pool)

    def close(self) -> None:
        """Close this process's connections; the next call opens new ones."""
        client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            client.connection_pool.disconnect()


class AsyncConnections:
    """One pool per event loop, closed with its loop."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._pools: dict[asyncio.AbstractEventLoop, tuple[redis.asyncio.Redis, AsyncGenerator[Any, None]]] = {}
        self._pid = os.getpid()

    async def client(self) -> redis.asyncio.Redis:
        """Return the client of the running loop."""
        loop = asyncio.get_running_loop()
        if self._pid != os.getpid():
            self._pools, self._pid = {}, os.getpid()
        found = self._pools.get(loop)
        if found is not None:
            return found[0]
        for closed in [other for other in list(self._pools) if other.is_closed()]:
            self._pools.pop(closed, None)
        lifetime = self._lifetime(loop)
        client = await anext(lifetime)
        self._pools[loop] = (client, lifetime)
        return client

    async def _lifetime(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[redis.asyncio.Redis, None]:
        """Hold a pool open; a loop closes its unfinished generators before it ends, and with this one the pool."""
        client = self._make()
        try:
            yield client
        finally:
            self._pools.pop(loop, None)
            await client.aclose(close_connection_pool=True)

    def _make(self) -> redis.asyncio.Redis:
        settings = self._settings
        options = _options(settings)
        options["retry"] = AsyncRetry(ConstantBackoff(_RETRY_DELAY), _RETRIES)
        try:
            pool: redis.asyncio.BlockingConnectionPool = redis.asyncio.BlockingConnectionPool.from_url(
                settings.url, timeout=settings.timeout, **options
            )
        except ValueError as error:
            raise NotConfigured(f"REDIS_URL cannot be used: {error}") from None
        return redis.asyncio.Redis(connection_pool=pool)

    async def close(self) -> None:
        """Close the running loop's connections; the next call opens new ones."""
        found = self._pools.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found[1].aclose()


def _options(settings: ClientSettings) -> dict[str, Any]:
    return {
        "socket_connect_timeout": settings.connect_timeout,
        "socket_timeout": settings.timeout,
        "socket_keepalive": True,
        "health_check_interval": settings.health_check_interval,
        "max_connections": settings.max_connections,
        # RESP2 needs no handshake: one round trip less for every new connection, and any server speaks it.
        "protocol": 2,
        "driver_info": None,
    }
