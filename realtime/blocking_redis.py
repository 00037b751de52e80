"""Blocking Redis of code that runs in threads (views, the admin), with one kind of failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.exceptions import RedisError

from realtime.cluster import get_cluster
from realtime.codes import Unavailable


@contextmanager
def redis_or_unavailable(what: str) -> Iterator[Any]:
    """Give the cluster's client, and turn every Redis failure inside into ``Unavailable`` that says ``what`` failed."""
    try:
        yield get_cluster().redis
    except RedisError as error:
        raise Unavailable(f"{what}: {type(error).__name__}") from error
