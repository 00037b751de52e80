"""Every fault, for a few seconds; ``make chaos`` does the same for longer."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.run import run_scenario
from tests.chaos.scenarios import SCENARIOS

SECONDS = 4.0


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_is_lost_unseen_doubled_or_reordered(name: str) -> None:
    verdict, logs = asyncio.run(run_scenario(SCENARIOS[name], SECONDS))
    assert verdict.clean, f"{verdict.describe()}\n{logs}"
    assert verdict.deliveries > verdict.messages
