"""The main figures as bars."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from realtime.loadtest.svg import bars, stack
from tests.benchmarks.metrics import METRICS, Metric
from tests.benchmarks.results import Results

_SHOWN: Final = (
    "broadcast_rate",
    "broadcast_cpu",
    "connect_rate",
    "rss",
    "unicast_p99",
    "unicast_busy_p99",
    "room_rate",
    "bridge_rate",
)
_PLOT_HEIGHT: Final = 190


def draw(results: Results, path: Path) -> None:
    """Write an SVG with one small bar chart per figure; the title says which way is better."""
    path.write_text(stack([_plot(metric, results) for metric in METRICS if metric.key in _SHOWN], _PLOT_HEIGHT))


def _plot(metric: Metric, results: Results) -> str:
    better = "longer is better" if metric.higher_is_better else "shorter is better"
    values = [
        (peer.label, peer.figures[metric.key] * metric.scale, metric.text(peer.figures))
        for peer in results.measured.values()
        if metric.key in peer.figures
    ]
    ours = results.measured["project"].label if "project" in results.measured else ""
    return bars(values, title=f"{metric.label}, {metric.unit} ({better})", marked=ours)
