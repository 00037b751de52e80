"""The main figures as bars."""

from __future__ import annotations

from pathlib import Path
from typing import Final

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
_OURS: Final = "#b5442e"
_THEIRS: Final = "#7a8793"


def draw(results: Results, path: Path) -> None:
    """Write an SVG with one small bar chart per figure; shorter bars are better where the title says so."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    metrics = [metric for metric in METRICS if metric.key in _SHOWN]
    figure, axes = pyplot.subplots(4, 2, figsize=(11, 11), layout="constrained")
    for metric, axis in zip(metrics, axes.flat, strict=True):
        _bars(axis, metric, results)
    figure.suptitle(f"{results.connections:,} connections, {results.date[:10]}")
    figure.savefig(path, metadata={"Date": results.date})
    pyplot.close(figure)


def _bars(axis: object, metric: Metric, results: Results) -> None:
    peers = [(name, peer) for name, peer in results.measured.items() if metric.key in peer.figures][::-1]
    values = [peer.figures[metric.key] * metric.scale for _, peer in peers]
    colours = [_OURS if name == "project" else _THEIRS for name, _ in peers]
    bars = axis.barh([peer.label for _, peer in peers], values, color=colours)
    axis.bar_label(bars, [metric.text(peer.figures) for _, peer in peers], padding=3, fontsize=8)
    better = "longer is better" if metric.higher_is_better else "shorter is better"
    axis.set_title(f"{metric.label}, {metric.unit} ({better})", fontsize=9, loc="left")
    axis.margins(x=0.15)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)
