"""Fixtures of the whole suite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by the folder they live in."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in ("integration", "e2e"):
            item.add_marker(folder)


@pytest.fixture(autouse=True)
def fresh_realtime_settings() -> Iterator[None]:
    """Let every test build ``realtime.conf``'s cached settings anew."""
    from realtime.conf import get_settings

    get_settings.cache_clear()
    yield
    get_settings.cache_clear()
