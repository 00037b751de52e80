"""The blocking Redis client of code that runs in threads: HTTP views, the admin, management commands."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.signals import setting_changed
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from realtime.codes import Unavailable
from realtime.conf import get_settings


@functools.cache
def get_redis() -> Redis:
    """Return the process's pooled client of the first Redis; every wait is bounded by the settings."""
    from django.conf import settings

    conf = get_settings()
    client: Redis = Redis.from_url(
        settings.REDIS_URLS[0],
        socket_connect_timeout=conf.redis_connect_timeout,
        socket_timeout=conf.redis_timeout,
        retry=Retry(NoBackoff(), 1),
        health_check_interval=30,
    )
    return client


@contextmanager
def redis_or_unavailable(what: str) -> Iterator[Any]:
    """Give the client, and turn every Redis failure inside into ``Unavailable`` that says ``what`` failed."""
    try:
        yield get_redis()
    except RedisError as error:
        raise Unavailable(f"{what}: {type(error).__name__}") from error


def _forget_redis(*, setting: str, **_: Any) -> None:
    if setting in {"REDIS_URLS", "REALTIME"}:
        get_redis.cache_clear()


setting_changed.connect(_forget_redis, dispatch_uid="realtime.blocking_redis")
