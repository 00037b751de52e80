"""Small plots as inline SVG: no scripts, no fonts, no network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

_WIDTH: Final = 640
_HEIGHT: Final = 240
_LEFT: Final = 64
_BOTTOM: Final = 36
_TOP: Final = 12
_RIGHT: Final = 16
_COLOURS: Final = ("#b5442e", "#2f6690", "#5a7d2a", "#7a5195")

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """A scale from data to pixels."""

    label: str
    low: float
    high: float
    log: bool = False

    def place(self, value: float) -> float:
        """Return where on the axis a value lies, 0 to 1."""
        if self.log:
            low, high, value = math.log10(self.low), math.log10(self.high), math.log10(max(value, self.low))
        else:
            low, high = self.low, self.high
        return (value - low) / (high - low) if high > low else 0.0

    def ticks(self) -> list[float]:
        """Return values to label: powers of ten (few of them: 2 and 5 times them too), or some five round numbers."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            tens = [10.0**power for power in powers if self.low <= 10.0**power <= self.high]
            if len(tens) > 2:
                return tens
            return [f * 10.0**power for power in powers for f in (1, 2, 5) if self.low <= f * 10.0**power <= self.high]
        step = _round_step((self.high - self.low) / 5 or 1)
        return [self.low + step * number for number in range(int((self.high - self.low) / step + 1e-9) + 1)]


def lines(series: Mapping[str, Points], *, x: Axis, y: Axis) -> str:
    """Return a line plot with a legend."""
    drawn = []
    for number, (name, points) in enumerate(series.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{_x(x, point[0]):.1f},{_y(y, point[1]):.1f}" for point in points)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        drawn.append(
            f'<text x="{_WIDTH - _RIGHT - 4}" y="{_TOP + 14 + 16 * number}" text-anchor="end" fill="{colour}">'
            f"{escape(name)}</text>"
        )
    return _frame([*_grid(x, y), *drawn], f"{y.label} over {x.label}", _HEIGHT)


def bars(values: Sequence[tuple[str, float, str]], *, title: str, marked: str = "") -> str:
    """Return horizontal bars of (label, value, text); the one labelled ``marked`` stands out."""
    largest = max((value for _, value, _ in values), default=0) or 1
    room = _WIDTH - 230 - 90
    drawn = [f'<text x="8" y="18" font-weight="bold">{escape(title)}</text>']
    for number, (label, value, text) in enumerate(values):
        top, length = 30 + 24 * number, value / largest * room
        colour = _COLOURS[0] if label == marked else "#7a8793"
        drawn.append(f'<text x="222" y="{top + 13}" text-anchor="end">{escape(label)}</text>')
        drawn.append(f'<rect x="230" y="{top}" width="{length:.1f}" height="17" fill="{colour}"/>')
        drawn.append(f'<text x="{236 + length:.1f}" y="{top + 13}">{escape(text)}</text>')
    return _frame(drawn, title, 38 + 24 * len(values))


def stack(plots: Sequence[str], height: int) -> str:
    """Return one SVG document with plots below each other, each ``height`` pixels high at most."""
    inner = "".join(f'<g transform="translate(0 {height * number})">{plot}</g>' for number, plot in enumerate(plots))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height * len(plots)}">'
        f'<rect width="100%" height="100%" fill="#fff"/>{inner}</svg>\n'
    )


def _frame(content: Sequence[str], title: str, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="{escape(title)}">'
        f"{''.join(content)}</svg>"
    )


def _grid(x: Axis, y: Axis) -> list[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    drawn = [
        f'<text x="{(right + _LEFT) / 2}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(x.label)}</text>',
        f'<text y="14" text-anchor="middle" transform="translate(0 {bottom / 2}) rotate(-90)">{escape(y.label)}</text>',
    ]
    for value in x.ticks():
        at = _x(x, value)
        drawn.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{bottom}" stroke="#e3e3e3"/>')
        drawn.append(f'<text x="{at:.1f}" y="{bottom + 15}" text-anchor="middle">{value:g}</text>')
    for value in y.ticks():
        at = _y(y, value)
        drawn.append(f'<line x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}" stroke="#e3e3e3"/>')
        drawn.append(f'<text x="{_LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>')
    return drawn


def _x(axis: Axis, value: float) -> float:
    return _LEFT + axis.place(value) * (_WIDTH - _LEFT - _RIGHT)


def _y(axis: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - axis.place(value) * (_HEIGHT - _BOTTOM - _TOP)


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    fits: Callable[[float], bool] = lambda factor: factor * power >= rough  # noqa: E731
    return next(factor for factor in (1, 2, 5, 10) if fits(factor)) * power
