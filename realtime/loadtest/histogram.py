"""Latencies in constant memory: buckets that grow by one per cent."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Final

_SMALLEST: Final = 1e-6
_PER_E_FOLD: Final = 100.0
"""Buckets per factor of e: neighbours differ by one per cent."""


class Histogram:
    """Counts of durations in seconds; percentiles are right to one per cent, minimum, maximum and mean exact."""

    def __init__(self, values: Iterable[float] = ()) -> None:
        self.count = 0
        self.total = 0.0
        self.minimum = math.inf
        self.maximum = 0.0
        self._buckets: Counter[int] = Counter()
        for value in values:
            self.add(value)

    def add(self, seconds: float) -> None:
        """Count one duration; anything below a microsecond counts as one."""
        bucket = int(math.log(seconds / _SMALLEST) * _PER_E_FOLD) if seconds > _SMALLEST else 0
        self._buckets[bucket] += 1
        self.count += 1
        self.total += seconds
        self.minimum = min(self.minimum, seconds)
        self.maximum = max(self.maximum, seconds)

    @property
    def mean(self) -> float:
        """Mean in seconds; 0 without values."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Return the duration that ``percent`` (0 to 100) of the values do not pass; 0 without values."""
        if not self.count:
            return 0.0
        rank = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return min(max(_value(bucket), self.minimum), self.maximum)
        return self.maximum

    def curve(self) -> list[tuple[float, float]]:
        """Return (seconds, share of values at or below it) for every bucket in use: a cumulative distribution."""
        seen, points = 0, []
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            points.append((_value(bucket), seen / self.count))
        return points

    def summary(self) -> dict[str, float]:
        """Return count, and in milliseconds: mean, min, p50, p90, p99, p999, max."""
        minimum = self.minimum if self.count else 0.0
        figures = {"mean": self.mean, "min": minimum, "max": self.maximum}
        figures |= {
            name: self.percentile(percent) for name, percent in (("p50", 50), ("p90", 90), ("p99", 99), ("p999", 99.9))
        }
        return {"count": self.count} | {name: round(seconds * 1000, 3) for name, seconds in figures.items()}


def _value(bucket: int) -> float:
    return _SMALLEST * math.exp((bucket + 0.5) / _PER_E_FOLD)
