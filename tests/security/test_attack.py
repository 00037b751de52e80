"""The attack mix in short: what it does to clients that keep to the rules, whatever the machine."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.stack import Stack
from tests.security.attack import attack

pytestmark = [pytest.mark.integration, pytest.mark.slow]


async def test_neighbours_of_attackers_lose_nothing(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(env={"LOG_LEVEL": "WARNING"})
    report = await attack(stack, seconds=8, clients=60, scale=0.5, quiet=3)
    assert (report.lost, report.doubled, report.cut, report.tracebacks) == (0, 0, 0, 0)
    assert report.messages > 0
    assert set(report.attacks) == {
        *("flood", "frame_flood", "slow_reader", "slow_headers", "slow_frames", "bombs", "bad_tokens", "noise", "churn")
    }
    assert {"message_rate", "frame_rate", "rate_strikes"} <= set(report.limits)
    assert report.memory_after < 1.1 * report.memory_before
