"""What a load test found, and which limits it passed."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from realtime.loadtest.histogram import Histogram
from realtime.loadtest.options import LoadOptions
from realtime.loadtest.tally import Outcome


@dataclass(slots=True)
class Second:
    """One second of a scenario."""

    deliveries: int = 0
    latency: Histogram = field(default_factory=Histogram)


@dataclass(slots=True, kw_only=True)
class ScenarioResult:
    """One scenario."""

    name: str
    sent: int
    seconds: float
    outcome: Outcome
    latency: Histogram
    timeline: list[Second]
    errors: Counter[str]
    """``error`` frames of the gateway by their code."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types; latencies in milliseconds."""
        return {
            "name": self.name,
            "sent": self.sent,
            "seconds": round(self.seconds, 3),
            "deliveries_per_second": round(self.outcome.received / self.seconds, 1) if self.seconds else 0.0,
            **asdict(self.outcome),
            "loss_percent": round(self.outcome.loss * 100, 4),
            "latency_ms": self.latency.summary(),
            "errors": dict(self.errors),
            "timeline": [
                {"deliveries": second.deliveries, "p50": ms["p50"], "p99": ms["p99"]}
                for second in self.timeline
                for ms in [second.latency.summary()]
            ],
        }


@dataclass(slots=True, kw_only=True)
class LoadResult:
    """One load test."""

    url: str
    clients: int
    connected: int
    connect_seconds: float
    connect_latency: Histogram
    failures: Counter[str]
    closed: Counter[int]
    """Close codes of connections the gateway ended during the test."""
    scenarios: list[ScenarioResult] = field(default_factory=list)
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    @property
    def connect_rate(self) -> float:
        """Connects a second."""
        return self.connected / self.connect_seconds if self.connect_seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types; latencies in milliseconds."""
        return {
            "url": self.url,
            "started": self.started,
            "clients": self.clients,
            "connected": self.connected,
            "connects_per_second": round(self.connect_rate, 1),
            "connect_latency_ms": self.connect_latency.summary(),
            "failures": dict(self.failures),
            "closed": {str(code): count for code, count in self.closed.items()},
            "scenarios": [scenario.as_dict() for scenario in self.scenarios],
        }

    def broken_limits(self, options: LoadOptions) -> list[str]:
        """Return one line for each limit of the options that was passed."""
        failed = sum(self.failures.values())
        lines = []
        if options.max_failed is not None and failed > options.max_failed:
            lines.append(f"{failed} connects failed, {options.max_failed} allowed")
        for scenario in self.scenarios:
            lines += [f"{scenario.name}: {line}" for line in _broken(scenario, options)]
        return lines


def _broken(scenario: ScenarioResult, options: LoadOptions) -> list[str]:
    outcome = scenario.outcome
    measured = (
        ("loss %", outcome.loss * 100, options.max_loss),
        ("p99 ms", scenario.latency.percentile(99) * 1000, options.max_p99),
        ("duplicates", outcome.duplicates, options.max_duplicates),
        ("reordered", outcome.reordered, options.max_reordered),
    )
    return [
        f"{name} {value:g}, {limit:g} allowed" for name, value, limit in measured if limit is not None and value > limit
    ]
