"""What the project promised itself, and whether this run shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Results = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on one of the project's figures, or on its ratio to a peer's."""

    text: str
    key: str
    bound: float
    at_least: bool = False
    against: str = ""
    """Name of the peer whose figure divides ours; empty for an absolute bound."""

    def value(self, results: Results) -> float | None:
        """Return what the run shows, or None when it did not measure it."""
        ours = results.get("project", {}).get(self.key)
        if ours is None or not self.against:
            return ours
        theirs = results.get(self.against, {}).get(self.key)
        return ours / theirs if theirs else None

    def met(self, value: float) -> bool:
        """Tell whether ``value`` is within the bound."""
        return value >= self.bound if self.at_least else value <= self.bound


TARGETS: Final = (
    Target("Broadcast deliveries/s ÷ textbook", "broadcast_rate", 20, at_least=True, against="textbook"),
    Target("Broadcast deliveries/s ÷ Node ws", "broadcast_rate", 1.0, at_least=True, against="node"),
    Target("Broadcast deliveries/s ÷ Nchan", "broadcast_rate", 1.2, at_least=True, against="nchan"),
    Target("Broadcast deliveries/s ÷ bare loop", "broadcast_rate", 0.8, at_least=True, against="bare"),
    Target("RSS per connection at 10,000, bytes", "rss_10000", 8 * 1024),
    Target("Connects/s ÷ textbook", "connect_rate", 2.0, at_least=True, against="textbook"),
    Target("Idle CPU, share of a core", "idle_cpu", 0.05),
    Target("PUBLISH → client p99 idle, seconds", "unicast_p99", 0.005),
    Target("PUBLISH → client p99 during broadcasts, seconds", "unicast_busy_p99", 0.020),
    Target("Bridge end to end, messages/s", "bridge_rate", 10_000, at_least=True),
    Target("Room deliveries/s ÷ textbook", "room_rate", 10, at_least=True, against="textbook"),
    Target("CPU per delivery, 12,000 ÷ 1,000", "growth_delivery", 1.25),
    Target("CPU per connect, 12,000 ÷ 1,000", "growth_connect", 1.25),
    Target("History: CPU added per message, share", "history_share", 0.30),
    Target("Lost, doubled or reordered", "lost", 0),
)
