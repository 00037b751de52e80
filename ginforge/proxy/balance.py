"""Which instance gets the next request: of those that may be asked, the one with the fewest under way by its weight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ginforge.proxy.breaker import Breaker, State
from ginforge.proxy.conf import ProxySettings, Target


@dataclass(slots=True, eq=False)
class Instance:
    """One instance of a service as this process sees it."""

    target: Target
    breaker: Breaker
    healthy: bool = True
    """By the active checks; assumed until they say otherwise."""
    missed_checks: int = 0
    in_flight: int = 0
    requests: int = 0
    failures: int = 0
    last_error: str = ""

    @property
    def load(self) -> float:
        """Requests under way, with one more, by weight."""
        return (self.in_flight + 1) / self.target.weight

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count a request while it is under way; one that ends without a verdict frees the trial of the breaker."""
        self.in_flight += 1
        self.requests += 1
        self.breaker.begin()
        try:
            yield
        finally:
            self.in_flight -= 1

    def fail(self, now: float, why: str) -> None:
        """Note a failure; ``why`` is one word."""
        self.failures += 1
        self.last_error = why
        self.breaker.fail(now)


@dataclass(slots=True)
class Pool:
    """The instances of one service."""

    instances: list[Instance]
    max_requests: int
    _turn: int = field(default=0)

    @classmethod
    def of(cls, targets: Iterable[Target], conf: ProxySettings) -> Pool:
        """Build the pool of a route."""
        instances = [Instance(target, Breaker(conf.breaker_failures, conf.breaker_seconds)) for target in targets]
        return cls(instances, conf.max_requests)

    def live(self, now: float) -> list[Instance]:
        """Return the instances that may be asked."""
        return [instance for instance in self.instances if instance.healthy and instance.breaker.allows(now)]

    def pick(self, now: float, tried: Iterable[Instance] = ()) -> Instance | None:
        """Return the least busy instance that was not tried yet; equals take turns. ``None`` when there is none."""
        refused = set(map(id, tried))
        free = [item for item in self.live(now) if id(item) not in refused and item.in_flight < self.max_requests]
        if not free:
            return None
        self._turn += 1
        start = self._turn % len(free)
        return min(free[start:] + free[:start], key=lambda item: (item.load, item.breaker.state is not State.CLOSED))

    def is_full(self, now: float) -> bool:
        """Tell whether there are live instances and all have as much as they may."""
        live = self.live(now)
        return bool(live) and all(item.in_flight >= self.max_requests for item in live)
