"""The charts' history: slots, percentiles, and what a process adds."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ginforge.embedded import EmbeddedValkey
from realtime import metrics, samples
from realtime.cluster import get_cluster
from realtime.sampler import read_counters

PERIOD = samples.PERIODS["15m"]


@pytest.fixture(autouse=True)
def redis(settings: Any) -> Iterator[Any]:
    with EmbeddedValkey() as valkey:
        settings.REDIS_URLS = [valkey.url]
        get_cluster.cache_clear()
        yield get_cluster().redis
        get_cluster().close()
        get_cluster.cache_clear()


def add(redis: Any, node: str, connections: int, at: float, **amounts: int) -> None:
    redis.execute_command(*samples.add_command(node, connections, amounts, at))


def test_the_processes_samples_of_one_slot_add_up(redis: Any) -> None:
    at = time.time() // 5 * 5
    add(redis, "a", 10, at, sent=100, received=5, l2=3)
    add(redis, "b", 7, at + 1, sent=50, errors=1, l2=1)
    add(redis, "a", 12, at + 2, sent=50)
    point = samples.history(PERIOD, at + 5)[-1]
    assert (point.at, point.connections, point.sent, point.received, point.errors) == (at, 19, 40.0, 1.0, 0.2)
    assert point.p50 == pytest.approx(1.75)


def test_a_history_has_one_point_per_slot_even_where_nothing_was_seen() -> None:
    points = samples.history(PERIOD)
    assert len(points) == PERIOD.length // PERIOD.step
    assert {point.p99 for point in points} == {None}
    assert [b.at - a.at for a, b in itertools.pairwise(points)] == [PERIOD.step] * (len(points) - 1)


def test_every_slot_expires(redis: Any) -> None:
    add(redis, "a", 1, time.time(), sent=1)
    names = redis.keys("*samples*")
    assert len(names) == len(samples.PERIODS)
    assert all(0 < redis.ttl(name) <= 90_000 for name in names)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [([0] * 15, 0.5, None), ([4], 0.5, 0.25), ([0, 2, 2], 1.0, 2.5), ([0] * 14 + [1], 0.99, 10_000.0)],
)
def test_percentiles_lie_inside_their_bucket(counts: list[int], share: float, expected: float | None) -> None:
    assert samples.percentile(counts, share) == expected


def test_the_counters_of_this_process_are_read_from_its_metrics() -> None:
    before = read_counters()
    metrics.sent.inc(3)
    metrics.received.inc("chat")
    metrics.ingress_latency.observe(0.002)
    after = read_counters()
    changed = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    assert changed == {"sent": 3, "received": 1, "l2": 1}
