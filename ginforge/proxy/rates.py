"""Rate limits that all gateways share, in Redis; while Redis is away each process counts for itself."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterable
from typing import Any, Final

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError

from ginforge.proxy.answers import Header, Refusal

logger = logging.getLogger(__name__)

_PREFIX: Final = "ginforge:proxy:rate"
_AWAY_SECONDS: Final = 5.0


class RateLimits:
    """Counts requests by sliding windows."""

    def __init__(self, redis_url: str) -> None:
        self._storage = RedisStorage(
            f"async+{redis_url}",
            implementation="redispy",
            key_prefix=_PREFIX,
            socket_connect_timeout=0.5,
            socket_timeout=0.5,
        )
        self._shared = SlidingWindowCounterRateLimiter(self._storage)
        self._alone = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._away_until = 0.0

    async def check(self, limits: Iterable[tuple[str, str, str]]) -> list[Header]:
        """Count one request under each ``(policy, rate, key)``; returns the headers that tell what is left.

        Raises ``Refusal`` (429) with Retry-After at the first limit that is reached.
        """
        headers: list[Header] = []
        for policy, rate, key in limits:
            item = parse(rate)
            allowed, remaining, reset = await self._hit(item, policy, key)
            told = _headers(policy, item, remaining, reset)
            if not allowed:
                retry = (b"retry-after", str(reset).encode())
                raise Refusal(429, "rate_limited", f"Too many requests: {rate} per {policy}", (*told, retry))
            headers = told
        return headers

    async def close(self) -> None:
        """Give back the connections to Redis."""
        bridge: Any = self._storage.bridge
        await bridge.storage.aclose()

    async def _hit(self, item: RateLimitItem, policy: str, key: str) -> tuple[bool, int, int]:
        if time.monotonic() >= self._away_until:
            try:
                return await _count(self._shared, item, policy, key)
            except (RedisError, OSError) as error:
                self._away_until = time.monotonic() + _AWAY_SECONDS
                logger.warning("rate limits are counted per process", extra={"reason": type(error).__name__})
        return await _count(self._alone, item, policy, key)


async def _count(
    strategy: SlidingWindowCounterRateLimiter, item: RateLimitItem, policy: str, key: str
) -> tuple[bool, int, int]:
    """Return whether the request is allowed, what remains, and the whole seconds until there is more."""
    allowed = await strategy.hit(item, policy, key)
    stats = await strategy.get_window_stats(item, policy, key)
    return allowed, stats.remaining, max(1, math.ceil(stats.reset_time - time.time()))


def _headers(policy: str, item: RateLimitItem, remaining: int, reset: int) -> list[Header]:
    """Return draft-ietf-httpapi-ratelimit-headers, and the older fields that clients know."""
    return [
        (b"ratelimit-policy", f'"{policy}";q={item.amount};w={item.get_expiry()}'.encode()),
        (b"ratelimit", f'"{policy}";r={remaining};t={reset}'.encode()),
        (b"x-ratelimit-limit", str(item.amount).encode()),
        (b"x-ratelimit-remaining", str(remaining).encode()),
        (b"x-ratelimit-reset", str(reset).encode()),
    ]
