"""Where Chart.js comes from: the wheel of django-unfold, which keeps it current (docs/decisions/0009)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def chart_directories() -> list[tuple[str, str]]:
    """Return the entry of ``STATICFILES_DIRS`` that serves ``charts/chart.js``; none where the package is missing."""
    found = find_spec("unfold")
    if found is None or found.origin is None:
        return []
    directory = Path(found.origin).parent / "static" / "unfold" / "js" / "chart"
    return [("charts", str(directory))] if (directory / "chart.js").is_file() else []
