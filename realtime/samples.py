"""What the admin's charts show: counts of the whole cluster in time slots, in Redis, bounded and expiring.

Every gateway process adds what happened since its last sample to one hash per resolution; a hash is one slot.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from realtime.blocking_redis import redis_or_unavailable
from realtime.keys import PREFIX

LATENCY_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds of the fields ``l0`` …; the last field holds what took longer."""

# KEYS: one hash per resolution. ARGV: node, its connections, a lifetime per key, then field, amount, field, amount …
ADD: Final = """
for k = 1, #KEYS do
  redis.call('HSET', KEYS[k], 'c:' .. ARGV[1], ARGV[2])
  for i = #KEYS + 3, #ARGV, 2 do redis.call('HINCRBY', KEYS[k], ARGV[i], ARGV[i + 1]) end
  redis.call('EXPIRE', KEYS[k], ARGV[k + 2])
end
"""


class Period(msgspec.Struct, frozen=True):
    """A span the admin can choose; both in seconds."""

    name: str
    step: int
    length: int


PERIODS: Final = {
    period.name: period for period in (Period("15m", 5, 900), Period("3h", 60, 10_800), Period("24h", 600, 86_400))
}


class Point(msgspec.Struct, frozen=True):
    """One slot: rates a second, latencies in milliseconds (None without a message), ``at`` its start, Unix seconds."""

    at: int
    connections: int
    received: float
    sent: float
    errors: float
    p50: float | None
    p95: float | None
    p99: float | None


def slot(step: int, at: float) -> str:
    """Key of the slot that holds the moment ``at``; all slots of all resolutions share one hash slot of a cluster."""
    return f"{PREFIX}:{{samples}}:{step}:{int(at) // step * step}"


def add_command(node: str, connections: int, amounts: Mapping[str, int], at: float) -> list[str | int]:
    """Build the Redis command that adds one process's sample."""
    periods = list(PERIODS.values())
    keys = [slot(period.step, at) for period in periods]
    lifetimes = [period.length + 2 * period.step for period in periods]
    flat = [part for name, amount in amounts.items() if amount for part in (name, amount)]
    return ["EVAL", ADD, len(keys), *keys, node, connections, *lifetimes, *flat]


def history(period: Period, now: float | None = None) -> list[Point]:
    """Read the slots of a period, oldest first, the one still being filled left out. Raises ``Unavailable``."""
    last = int(time.time() if now is None else now) // period.step * period.step
    starts = range(last - period.length, last, period.step)
    with redis_or_unavailable("the history cannot be read") as redis, redis.pipeline(transaction=False) as pipe:
        for start in starts:
            pipe.hgetall(slot(period.step, start))
        found = pipe.execute()
    return [_point(start, period.step, fields) for start, fields in zip(starts, found, strict=True)]


def _point(at: int, step: int, fields: Mapping[bytes, bytes]) -> Point:
    def rate(name: bytes) -> float:
        return round(int(fields.get(name, 0)) / step, 2)

    counts = [int(fields.get(b"l%d" % number, 0)) for number in range(len(LATENCY_BUCKETS) + 1)]
    return Point(
        at=at,
        connections=sum(int(value) for name, value in fields.items() if name.startswith(b"c:")),
        received=rate(b"received"),
        sent=rate(b"sent"),
        errors=rate(b"errors"),
        p50=percentile(counts, 0.5),
        p95=percentile(counts, 0.95),
        p99=percentile(counts, 0.99),
    )


def percentile(counts: Sequence[int], share: float) -> float | None:
    """Estimate a percentile in milliseconds from counts per bucket, linear within the bucket; None without any."""
    wanted = sum(counts) * share
    if not wanted:
        return None
    seen, lower = 0, 0.0
    for count, upper in zip(counts, LATENCY_BUCKETS, strict=False):
        if seen + count >= wanted:
            return round((lower + (upper - lower) * (wanted - seen) / count) * 1000, 3)
        seen, lower = seen + count, upper
    return LATENCY_BUCKETS[-1] * 1000
