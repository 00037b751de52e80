"""The results for people: a few lines for the terminal, and one HTML file with plots."""

from __future__ import annotations

from html import escape

from realtime.loadtest.results import LoadResult, ScenarioResult
from realtime.loadtest.svg import Axis, lines

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; display: block; overflow-x: auto }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
th:first-child, td:first-child { text-align: left } figure { margin: 1rem 0; overflow-x: auto } .bad { color: #b5442e }
"""
_COLUMNS = ("scenario", "sent", "delivered", "1/s", "p50", "p90", "p99", "p99.9", "max ms", "lost", "dup", "reordered")


def summary(result: LoadResult, broken: list[str]) -> str:
    """Return the results as text."""
    connect = result.connect_latency.summary()
    parts = [
        f"{result.connected:,} of {result.clients:,} connected, {result.connect_rate:,.0f}/s",
        f"  connect p50 {connect['p50']} ms, p99 {connect['p99']} ms",
    ]
    parts += [f"  {count} × {reason}" for reason, count in result.failures.most_common()]
    parts += [f"  {count} connections closed by the gateway with {code}" for code, count in result.closed.most_common()]
    rows = [_COLUMNS, *(_row(scenario) for scenario in result.scenarios)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    parts += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    for scenario in result.scenarios:
        parts += [f"  {scenario.name}: {count} × error {text}" for text, count in scenario.errors.most_common(5)]
    return "\n".join(parts + [f"LIMIT PASSED: {line}" for line in broken])


def html(result: LoadResult, broken: list[str]) -> str:
    """Return the results as one self-contained page."""
    verdict = "".join(f'<li class="bad">{escape(line)}</li>' for line in broken)
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Load test of {escape(result.url)}</title>
<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>
<h1>Load test</h1>
<p>{escape(result.url)}, {escape(result.started)}</p>
<ul><li>{result.connected:,} of {result.clients:,} connected, {result.connect_rate:,.0f} a second</li>
{_problems(result)}{verdict}</ul>
<table><tr>{"".join(f"<th>{escape(name)}</th>" for name in _COLUMNS)}</tr>
{"".join(_html_row(scenario) for scenario in result.scenarios)}</table>
{_latency_plot(result)}
{"".join(_timeline_plots(scenario) for scenario in result.scenarios)}
</body></html>
"""


def _row(scenario: ScenarioResult) -> tuple[str, ...]:
    figures, outcome = scenario.latency.summary(), scenario.outcome
    rate = outcome.received / scenario.seconds if scenario.seconds else 0.0
    return (
        scenario.name,
        f"{scenario.sent:,}",
        f"{outcome.received:,}",
        f"{rate:,.0f}",
        *(f"{figures[name]:.2f}" for name in ("p50", "p90", "p99", "p999", "max")),
        f"{outcome.lost:,}",
        f"{outcome.duplicates:,}",
        f"{outcome.reordered:,}",
    )


def _html_row(scenario: ScenarioResult) -> str:
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in _row(scenario))}</tr>\n"


def _problems(result: LoadResult) -> str:
    texts = [f"{count} × {reason}" for reason, count in result.failures.most_common()]
    texts += [f"{count} connections closed by the gateway with {code}" for code, count in result.closed.most_common()]
    for scenario in result.scenarios:
        texts += [f"{scenario.name}: {count} × error {text}" for text, count in scenario.errors.most_common(5)]
    return "".join(f'<li class="bad">{escape(text)}</li>' for text in texts)


def _latency_plot(result: LoadResult) -> str:
    curves = {
        scenario.name: [(seconds * 1000, share * 100) for seconds, share in scenario.latency.curve()]
        for scenario in result.scenarios
        if scenario.latency.count
    }
    if not curves:
        return ""
    values = [point[0] for curve in curves.values() for point in curve]
    x = Axis("latency, ms", max(min(values) * 0.9, 1e-3), max(max(values) * 1.1, 2e-3), log=True)
    return _figure("Share of deliveries within a latency", lines(curves, x=x, y=Axis("% of deliveries", 0, 100)))


def _timeline_plots(scenario: ScenarioResult) -> str:
    seconds = list(enumerate(scenario.timeline))
    if len(seconds) < 2:
        return ""
    latency = {
        name: [(float(at), second.latency.percentile(percent) * 1000) for at, second in seconds if second.deliveries]
        for name, percent in (("p50", 50), ("p99", 99))
    }
    deliveries = {"deliveries": [(float(at), float(second.deliveries)) for at, second in seconds]}
    x = Axis("second", 0, len(seconds) - 1)
    top = max((point[1] for curve in latency.values() for point in curve), default=0) or 1
    most = max(point[1] for point in deliveries["deliveries"]) or 1
    return _figure(f"{scenario.name}: latency", lines(latency, x=x, y=Axis("ms", 0, top))) + _figure(
        f"{scenario.name}: deliveries", lines(deliveries, x=x, y=Axis("1/s", 0, most))
    )


def _figure(title: str, plot: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{plot}</figure>\n"
