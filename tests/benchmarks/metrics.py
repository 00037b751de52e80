"""The table's rows: every figure has a name, a unit and a direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured quantity; ``scale`` turns the stored base unit (seconds, bytes, shares) into ``unit``."""

    key: str
    label: str
    unit: str
    scale: float = 1.0
    digits: int = 0
    higher_is_better: bool = False
    compared: bool = True
    """Whether a ratio of it means something."""

    def text(self, figures: Figures) -> str:
        """Return the figure as the table shows it; a dash when the peer has none."""
        if self.key not in figures:
            return "–"
        return f"{figures[self.key] * self.scale:,.{self.digits}f}"

    def advantage(self, ours: Figures, theirs: Figures) -> float | None:
        """Return how many times better ``ours`` is; None when one of the two has no figure."""
        mine, other = ours.get(self.key), theirs.get(self.key)
        if not self.compared or not mine or not other:
            return None
        return mine / other if self.higher_is_better else other / mine


def _rate(key: str, label: str, unit: str = "1/s") -> Metric:
    return Metric(key, label, unit, higher_is_better=True)


def _milliseconds(key: str, label: str) -> Metric:
    return Metric(key, label, "ms", scale=1000, digits=1)


def _microseconds(key: str, label: str) -> Metric:
    return Metric(key, label, "µs", scale=1e6, digits=1)


METRICS: Final = (
    _rate("connect_rate", "Connects"),
    _microseconds("connect_cpu", "CPU per connect"),
    Metric("rss", "Memory (RSS) per connection", "KB", scale=1 / 1024, digits=1),
    Metric("rss_10000", "Memory per connection at 10,000", "KB", scale=1 / 1024, digits=1),
    Metric("idle_cpu", "CPU with all connections idle", "% of a core", scale=100, digits=1),
    _rate("broadcast_rate", "Broadcast: deliveries"),
    _microseconds("broadcast_cpu", "Broadcast: CPU per delivery"),
    _milliseconds("broadcast_first", "Broadcast: first client"),
    _milliseconds("broadcast_p50", "Broadcast: half of the clients"),
    _milliseconds("broadcast_p99", "Broadcast: 99 % of the clients"),
    _milliseconds("broadcast_last", "Broadcast: last client"),
    _milliseconds("unicast_p50", "PUBLISH → client, idle, p50"),
    _milliseconds("unicast_p99", "PUBLISH → client, idle, p99"),
    _milliseconds("unicast_busy_p50", "PUBLISH → client during broadcasts, p50"),
    _milliseconds("unicast_busy_p99", "PUBLISH → client during broadcasts, p99"),
    _rate("room_rate", "Rooms: deliveries of clients' messages"),
    _microseconds("room_cpu", "Rooms: CPU per delivery"),
    _rate("bridge_rate", "PUBLISH → 1,000 users, end to end"),
    _microseconds("bridge_cpu", "the same: CPU of the server per message"),
    _microseconds("bridge_own_cpu", "the same: CPU of the bridge per message"),
    _microseconds("valkey_cpu", "the same: CPU of Valkey per message"),
    Metric("history_cpu", "the same: of that, for the history", "µs", scale=1e6, digits=1, compared=False),
    Metric("history_share", "the same: what the history adds to the path", "%", scale=100, compared=False),
    Metric("slow_growth", "Memory growth for a reader that stopped (200 MB sent)", "MB", scale=1e-6, compared=False),
    Metric("slow_cut", "the same: close code it saw", "", compared=False),
    Metric("slow_lost", "the same: lost or reordered at the others", "", compared=False),
    Metric("growth_delivery", "CPU per delivery, 12,000 against 1,000 connections", "×", digits=2, compared=False),
    Metric("growth_connect", "CPU per connect, 12,000 against 1,000 connections", "×", digits=2, compared=False),
    Metric("lost", "Deliveries lost, doubled or reordered in all measures", "", compared=False),
    Metric("waited", "Time the server waited for its core, broadcast", "%", scale=100, compared=False),
    Metric("client_share", "CPU of the load process, broadcast", "% of a core", scale=100, compared=False),
    Metric("room_client_share", "CPU of the load process, rooms", "% of a core", scale=100, compared=False),
    Metric("bridge_client_share", "CPU of the load process, 1,000 users", "% of a core", scale=100, compared=False),
)
