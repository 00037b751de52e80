"""Readiness: can this process serve? Each probe is bounded in time, and all run at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from channels.layers import get_channel_layer
from django.db import connection
from redis.asyncio import Redis
from redis.exceptions import RedisError

from realtime.codes import RealtimeError
from realtime.conf import get_settings
from realtime.keys import BRIDGES

PROBE_TIMEOUT: Final = 1.5
"""Seconds a probe may take."""
_BRIDGE_SILENCE: Final = 3
"""A bridge silent for this many of its leases is missing."""

Probe = Callable[[], Awaitable[None]]


class NotReady(RealtimeError):
    """A part is missing; the text says what is wrong with it and holds no address or secret."""


async def check(probes: Mapping[str, Probe] | None = None) -> dict[str, str]:
    """Run all probes and return, for each part, ``ok`` or what is wrong with it."""
    probes = PROBES if probes is None else probes
    results = await asyncio.gather(*(_run(probe) for probe in probes.values()))
    return dict(zip(probes, results, strict=True))


async def _run(probe: Probe) -> str:
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            await probe()
    except TimeoutError:
        return "does not answer in time"
    except RealtimeError as error:
        return str(error) or type(error).__name__
    except (RedisError, OSError) as error:
        return f"not reachable ({type(error).__name__})"
    except Exception as error:  # noqa: BLE001  # a probe's outermost edge: whatever is wrong, the part is not ready
        return f"failed ({type(error).__name__})"
    return "ok"


async def redis_answers() -> None:
    """Ping every configured Redis."""
    from django.conf import settings

    for url in settings.REDIS_URLS:
        async with _client(url) as client:
            await client.ping()


async def layer_is_connected() -> None:
    """Ask this process's channel layer whether its connections are up; other layers have nothing to ask."""
    layer = get_channel_layer()
    if layer is None:
        raise NotReady("no channel layer is configured")
    if hasattr(layer, "for_loop"):
        await layer.for_loop().ready()


async def bridge_was_seen() -> None:
    """Look for a bridge that reported within the last moments and hears what is published."""
    from django.conf import settings

    async with _client(settings.REDIS_URLS[0]) as client:
        reports = await client.hgetall(BRIDGES)
    deadline = time.time() - max(5.0, _BRIDGE_SILENCE * get_settings().bridge_lease)
    if not any(_reported_at(report) > deadline for report in reports.values()):
        raise NotReady("no bridge is running")


def _reported_at(report: bytes | str) -> float:
    """Return when a bridge reported; 0 for one that is not subscribed."""
    with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
        state = json.loads(report)
        return float(state["at"]) if state.get("subscribed", True) else 0.0
    return 0.0


def _client(url: str) -> Redis:
    client: Redis = Redis.from_url(url, socket_connect_timeout=PROBE_TIMEOUT, socket_timeout=PROBE_TIMEOUT)
    return client


class DatabaseProbe:
    """Asks the database in one thread of its own; while it hangs there, further probes wait for the same answer."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database-probe")
        self._asked: Future[None] | None = None

    async def __call__(self) -> None:
        """Run a query; raises what the database raises."""
        if self._asked is None or self._asked.done():
            self._asked = self._threads.submit(_query)
        await asyncio.shield(asyncio.wrap_future(self._asked))


def _query() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        connection.close()


PROBES: Final[dict[str, Probe]] = {
    "redis": redis_answers,
    "layer": layer_is_connected,
    "database": DatabaseProbe(),
    "bridge": bridge_was_seen,
}


def describe(results: Mapping[str, str]) -> dict[str, Any]:
    """Build the body of ``/readyz``."""
    missing = {part: result for part, result in results.items() if result != "ok"}
    body: dict[str, Any] = {"status": "unavailable" if missing else "ok", "checks": dict(results)}
    if missing:
        body["reason"] = "; ".join(f"{part}: {result}" for part, result in missing.items())
    return body
