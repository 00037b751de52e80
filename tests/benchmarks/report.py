"""Results as tables: absolute figures, ratios, promises; for the terminal and for docs/performance.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.benchmarks.metrics import METRICS
from tests.benchmarks.results import Results
from tests.benchmarks.targets import TARGETS

DOCS: Final = Path(__file__).parents[2] / "docs" / "performance.md"
_BEGIN: Final = "<!-- bench:begin (written by `make bench`, do not edit) -->"
_END: Final = "<!-- bench:end -->"

Table = list[list[str]]


def text(results: Results) -> str:
    """Return everything for the terminal."""
    parts = ["", *_facts(results), ""]
    for title, table in _tables(results):
        parts += [title, *_aligned(table), ""]
    return "\n".join(parts)


def markdown(results: Results) -> str:
    """Return everything for the documentation."""
    parts = [*(f"* {fact}" for fact in _facts(results)), ""]
    for title, table in _tables(results):
        parts += [f"### {title}", "", *_piped(table), ""]
    return "\n".join(parts)


def write_docs(results: Results, path: Path = DOCS) -> None:
    """Replace the generated part of the page; raises ``ValueError`` when the page has no place for it."""
    page = path.read_text()
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError(f"{path} has no {_BEGIN} … {_END}")
    path.write_text(f"{before}{_BEGIN}\n\n{markdown(results)}\n{_END}{after}")


def _facts(results: Results) -> Iterable[str]:
    if results.quick:
        yield "A quick run: it checks the harness, its figures mean nothing."
    yield f"{results.connections:,} connections unless said, {results.date}, `{results.command}`"
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    yield f"Machine: {machine}; Python {results.python}. The server has one core, the load the others."
    for peer in results.peers.values():
        versions = ", ".join(f"{name} {value}" for name, value in peer.versions.items())
        reason = peer.missing or (peer.failure and "failed, see the log")
        yield f"{peer.label}: {reason or peer.note} ({versions})"


def _tables(results: Results) -> Iterable[tuple[str, Table]]:
    yield "Figures", figures_table(results)
    if "project" in results.measured and len(results.measured) > 1:
        yield "How many times better this project is (below 1: worse)", ratio_table(results)
        yield "What was promised", target_table(results)
    if any(len(peer.growth) > 1 for peer in results.measured.values()):
        yield "Growth with the number of connections", growth_table(results)


def figures_table(results: Results) -> Table:
    """Return one row per metric that anybody has, one column per peer."""
    peers = results.measured.values()
    rows = [["", "unit", *(peer.label for peer in peers)]]
    shown = (metric for metric in METRICS if any(metric.key in peer.figures for peer in peers))
    rows += [[metric.label, metric.unit, *(metric.text(peer.figures) for peer in peers)] for metric in shown]
    return rows


def ratio_table(results: Results) -> Table:
    """Return one row per metric, one column per other peer: above 1 the project is better."""
    ours = results.measured["project"].figures
    others = [peer for name, peer in results.measured.items() if name != "project"]
    rows = [["", *(peer.label for peer in others)]]
    for metric in METRICS:
        ratios = [metric.advantage(ours, peer.figures) for peer in others]
        if any(ratio is not None for ratio in ratios):
            rows.append([metric.label, *("–" if ratio is None else f"{ratio:.2f}" for ratio in ratios)])
    return rows


def target_table(results: Results) -> Table:
    """Return every promise with the measured value."""
    figures = {name: peer.figures for name, peer in results.measured.items()}
    rows = [["", "promised", "measured", ""]]
    for target in TARGETS:
        value = target.value(figures)
        sign = "≥" if target.at_least else "≤"
        if value is None:
            rows.append([target.text, f"{sign} {target.bound:g}", "not measured", ""])
        else:
            verdict = "met" if target.met(value) else "missed"
            rows.append([target.text, f"{sign} {target.bound:g}", f"{value:,.4g}", verdict])
    return rows


def growth_table(results: Results) -> Table:
    """Return CPU and memory at every number of connections."""
    rows = [["", "connections", "CPU per connect, µs", "CPU per delivery, µs", "RSS per connection, KB"]]
    for peer in results.measured.values():
        for size, stage in sorted(peer.growth.items()):
            rows.append(
                [
                    peer.label,
                    f"{size:,}",
                    f"{stage['connect_cpu'] * 1e6:.0f}",
                    f"{stage['broadcast_cpu'] * 1e6:.1f}",
                    f"{stage['rss'] / 1024:.1f}",
                ]
            )
    return rows


def _aligned(table: Table) -> list[str]:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return ["  ".join(_cells(row, widths)).rstrip() for row in table]


def _cells(row: Sequence[str], widths: Sequence[int]) -> Iterable[str]:
    yield row[0].ljust(widths[0])
    for cell, width in zip(row[1:], widths[1:], strict=True):
        yield cell.rjust(width)


def _piped(table: Table) -> list[str]:
    head, *rows = (f"| {' | '.join(row)} |" for row in table)
    return [head, "|---" + "|---:" * (len(table[0]) - 1) + "|", *rows]
