"""What should have arrived against what did: loss, duplicates, reorder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class _Arrivals:
    highest: int = 0
    missing: set[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Totals over all receivers; ``lost`` counts deliveries, not messages."""

    expected: int
    received: int
    lost: int
    duplicates: int
    reordered: int
    unexpected: int
    """Deliveries to a receiver outside the stream's audience."""

    @property
    def loss(self) -> float:
        """Share of the expected deliveries that never came, 0 to 1."""
        return self.lost / self.expected if self.expected else 0.0


class Tally:
    """Follows every stream at every receiver in constant memory per pair, as long as little is missing."""

    def __init__(self) -> None:
        self._arrivals: dict[tuple[Hashable, Hashable], _Arrivals] = {}
        self._published: Counter[Hashable] = Counter()
        self._audiences: dict[Hashable, frozenset[Hashable]] = {}
        self.received = 0
        self.expected = 0
        self.duplicates = 0
        self.reordered = 0

    def open(self, stream: Hashable, audience: Iterable[Hashable]) -> None:
        """Declare who should receive a stream, before its first message."""
        self._audiences[stream] = frozenset(audience)

    def publish(self, stream: Hashable) -> int:
        """Count one message on ``stream`` and return its number, from 1."""
        self._published[stream] += 1
        self.expected += len(self._audiences[stream])
        return self._published[stream]

    def receive(self, receiver: Hashable, stream: Hashable, sequence: int) -> None:
        """Note that message ``sequence`` of ``stream`` came to ``receiver``."""
        key = (receiver, stream)
        arrivals = self._arrivals.get(key)
        if arrivals is None:
            arrivals = self._arrivals[key] = _Arrivals()
        self.received += 1
        if sequence == arrivals.highest + 1:
            arrivals.highest = sequence
        elif sequence > arrivals.highest:
            arrivals.missing = (arrivals.missing or set()) | set(range(arrivals.highest + 1, sequence))
            arrivals.highest = sequence
        elif arrivals.missing and sequence in arrivals.missing:
            arrivals.missing.remove(sequence)
            self.reordered += 1
        else:
            self.duplicates += 1

    @property
    def complete(self) -> bool:
        """Whether as many messages came as were expected, duplicates apart."""
        return self.received - self.duplicates >= self.expected

    def outcome(self) -> Outcome:
        """Compare what came with what was published."""
        lost = 0
        for stream, audience in self._audiences.items():
            published = self._published[stream]
            lost += sum(self._missing(receiver, stream, published) for receiver in audience)
        return Outcome(
            expected=self.expected,
            received=self.received,
            lost=lost,
            duplicates=self.duplicates,
            reordered=self.reordered,
            unexpected=self._unexpected(),
        )

    def _missing(self, receiver: Hashable, stream: Hashable, published: int) -> int:
        arrivals = self._arrivals.get((receiver, stream))
        if arrivals is None:
            return published
        return published - arrivals.highest + len(arrivals.missing or ())

    def _unexpected(self) -> int:
        foreign = [
            arrivals.highest - len(arrivals.missing or ())
            for (receiver, stream), arrivals in self._arrivals.items()
            if receiver not in self._audiences.get(stream, ())
        ]
        return sum(foreign)
