"""One frame to many: everyone gets everything in order, and a large group does not hold up the others."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime import fanout as module
from realtime.connection import Connection
from realtime.fanout import INLINE_LIMIT, Fanout
from tests.unit.realtime.doubles import RecordingSocket, make_connection


def members(count: int, start: int = 0) -> dict[Connection, None]:
    return {make_connection(str(n)): None for n in range(start, start + count)}


def got(connection: Connection) -> list[bytes]:
    socket = connection.socket
    assert isinstance(socket, RecordingSocket)
    return socket.frames


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every look at the clock be a slice later, so that a large job is interrupted as often as can be."""
    ticks = iter(range(10_000_000))

    class Clock:
        @staticmethod
        def perf_counter() -> float:
            return next(ticks) * module.SLICE

    monkeypatch.setattr(module, "time", Clock)


async def finish(fanout: Fanout) -> None:
    while fanout.busy:
        await asyncio.sleep(0)


async def test_a_small_group_is_served_at_once():
    reports: list[Any] = []
    fanout, group = Fanout(lambda *report: reports.append(report)), members(3)
    fanout.deliver(b"hi", group, 17)
    assert [got(member) for member in group] == [[b"hi"]] * 3
    assert [(count, sent) for count, _, sent in reports] == [(3, 17)]


async def test_a_group_without_members_costs_nothing():
    fanout = Fanout(lambda *report: pytest.fail("nothing was sent"))
    fanout.deliver(b"hi", {}, 0)


async def test_a_large_group_is_served_in_slices(slow_clock):
    reports: list[Any] = []
    fanout, group = Fanout(lambda *report: reports.append(report)), members(INLINE_LIMIT + 500)
    fanout.deliver(b"big", group, 0)
    assert fanout.busy
    served = sum(bool(got(member)) for member in group)
    assert 0 < served < len(group)
    await finish(fanout)
    assert all(got(member) == [b"big"] for member in group)
    assert [count for count, *_ in reports] == [len(group)]


async def test_a_message_to_a_few_does_not_wait_for_a_large_group(slow_clock):
    fanout, group, other = Fanout(lambda *_: None), members(2000), members(1, 5000)
    fanout.deliver(b"big", group, 0)
    fanout.deliver(b"small", other, 0)
    assert fanout.busy
    assert [got(member) for member in other] == [[b"small"]]


async def test_a_client_sees_an_earlier_large_message_before_a_later_small_one(slow_clock):
    fanout, group = Fanout(lambda *_: None), members(2000)
    last = list(group)[-1]
    fanout.deliver(b"big", group, 0)
    assert got(last) == []
    fanout.deliver(b"small", {last: None}, 0)
    assert got(last) == [b"big", b"small"]
    await finish(fanout)
    assert got(last) == [b"big", b"small"]


async def test_who_leaves_during_a_large_job_can_be_given_the_rest_first(slow_clock):
    fanout, group = Fanout(lambda *_: None), members(2000)
    last = list(group)[-1]
    fanout.deliver(b"one", group, 0)
    fanout.deliver(b"two", group, 0)
    fanout.catch_up(last)
    del group[last]
    assert got(last) == [b"one", b"two"]
    await finish(fanout)
    assert got(last) == [b"one", b"two"]
    assert all(got(member) == [b"one", b"two"] for member in group)


async def test_who_joins_during_a_large_job_does_not_get_it(slow_clock):
    fanout, group = Fanout(lambda *_: None), members(2000)
    fanout.deliver(b"big", group, 0)
    (late,) = members(1, 9000)
    group[late] = None
    fanout.deliver(b"next", group, 0)
    await finish(fanout)
    assert got(late) == [b"next"]


@given(st.lists(st.sampled_from(["all", "half", "few", "turn"]), max_size=12))
@settings(max_examples=40, deadline=None)
def test_any_mix_of_jobs_reaches_each_member_once_and_in_order(steps):
    async def scenario() -> None:
        fanout = Fanout(lambda *_: None)
        everyone = members(INLINE_LIMIT + 300)
        groups = {
            "all": everyone,
            "half": dict.fromkeys(list(everyone)[: INLINE_LIMIT + 10]),
            "few": dict.fromkeys(list(everyone)[-3:]),
        }
        expected: dict[Connection, list[int]] = {member: [] for member in everyone}
        for number, step in enumerate(steps):
            if step == "turn":
                await asyncio.sleep(0)
                continue
            fanout.deliver(json.dumps(number).encode(), groups[step], 0)
            for member in groups[step]:
                expected[member].append(number)
        await finish(fanout)
        for member in everyone:
            assert [json.loads(frame) for frame in got(member)] == expected[member]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SLICE", -1.0)
        asyncio.run(scenario())
