"""Which workers and beats live: keys in Redis that expire."""

from __future__ import annotations

import socket
import time
from typing import Final, Literal

from realtime.blocking_redis import redis_or_unavailable

Role = Literal["worker", "beat"]
TTL: Final = 30
_PREFIX: Final = "ginforge:{worker}:alive:"
PATTERN: Final = _PREFIX + "*"
_last: dict[str, float] = {}


def beat(role: Role, *, every: float = 5.0) -> None:
    """Note that this process lives; asks Redis at most once in ``every`` seconds. Raises ``Unavailable``."""
    if time.monotonic() - _last.get(role, -every) < every:
        return
    with redis_or_unavailable("the heartbeat was not written") as redis:
        redis.set(_key(role, socket.gethostname()), int(time.time()), ex=TTL)
    _last[role] = time.monotonic()


def is_alive(role: Role, host: str | None = None) -> bool:
    """Say whether the worker or beat of a host (this one) lives. Raises ``Unavailable``."""
    with redis_or_unavailable("the heartbeat cannot be read") as redis:
        return bool(redis.exists(_key(role, host or socket.gethostname())))


def _key(role: str, host: str) -> str:
    return f"{_PREFIX}{role}:{host}"
