"""Active health checks: each process asks every instance now and then whether it lives."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping

import aiohttp

from ginforge.proxy import status
from ginforge.proxy.balance import Instance, Pool
from ginforge.proxy.conf import ProxySettings

logger = logging.getLogger(__name__)


class HealthChecks:
    """The background task that keeps ``Instance.healthy`` true to life."""

    def __init__(self, conf: ProxySettings, pools: Mapping[str, Pool], session: aiohttp.ClientSession) -> None:
        self._conf = conf
        self._pools = pools
        self._session = session
        self._timeout = aiohttp.ClientTimeout(total=conf.health_timeout)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to check, the first time at once."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="proxy-health")

    async def stop(self) -> None:
        """End the checks."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            checks = [self._check(name, instance) for name, pool in self._pools.items() for instance in pool.instances]
            await asyncio.gather(*checks)
            await asyncio.sleep(self._conf.health_interval)

    async def _check(self, name: str, instance: Instance) -> None:
        path = self._conf.routes[name].settings.health_path
        if path:
            self._note(name, instance, alive=await self._is_alive(instance.target.url + path))
        instance.breaker.allows(time.monotonic())
        status.measure(name, instance)

    async def _is_alive(self, url: str) -> bool:
        try:
            async with self._session.get(url, timeout=self._timeout, allow_redirects=False) as response:
                return response.status < 500
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return False

    def _note(self, name: str, instance: Instance, *, alive: bool) -> None:
        instance.missed_checks = 0 if alive else instance.missed_checks + 1
        healthy = alive or (instance.healthy and instance.missed_checks < self._conf.health_failures)
        if healthy != instance.healthy:
            instance.healthy = healthy
            extra = {"route": name, "instance": instance.target.label, "healthy": healthy}
            logger.warning("upstream is %s", "back" if healthy else "out", extra=extra)
