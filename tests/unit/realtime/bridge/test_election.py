"""What a bridge does in each part it plays, and when it changes its part."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime.bridge.election import Election, Role
from realtime.bridge.lease import View
from realtime.bridge.outbox import Outbox
from realtime.codes import Unavailable
from tests.unit.realtime.bridge.jobs import FakeLayer, Outcomes, make_job, until

ME = "me"


class FakeLease:
    """A lease whose state in Redis the test sets: ``holder`` and ``fence``; taken when free and wanted."""

    def __init__(self) -> None:
        self.seconds = 0.04
        self.fence = 0
        self.holder = ""
        self.token = 0
        self.mark = 0
        self.down = False
        self.released = 0
        self.done_marks: list[int] = []
        self._held = False

    def held(self) -> bool:
        return self._held

    async def look(self, *, want: bool, done_mark: int = 0, next_mark: int = 0) -> View:
        if self.down:
            self._held = False
            raise Unavailable("away")
        if not self.holder and want:
            self.holder, self.token = ME, self.token + 1
        self._held = self.holder == ME
        if self._held:
            self.done_marks.append(done_mark)
        return View(self.holder, self.token, self.mark, 0.02 if self.holder else 0.0)

    async def release(self) -> None:
        self._held = False
        self.released += 1
        if self.holder == ME:
            self.holder = ""


class Seat:
    """An election with its lease, its Redis, and what became of its jobs."""

    def __init__(self) -> None:
        layer: Any = FakeLayer()
        self.redis = layer.only
        self.lease = FakeLease()
        lease: Any = self.lease
        self.outcomes = Outcomes()
        self.roles: list[Role] = []
        self.outbox = Outbox(layer, self.lease.held, trust_persistence=False)
        self.election = Election(lease, self.outbox, ME, oldest=self.outbox.oldest, on_change=self.roles.append)
        self.election.on_subscription(True)
        self.task = asyncio.get_running_loop().create_task(self.election.run())

    def take(self, *numbers: int, **values: Any) -> None:
        for number in numbers:
            self.election.take(make_job(number, self.outcomes, **({"received": time.monotonic()} | values)))

    async def becomes(self, role: Role) -> None:
        await until(lambda: self.election.role is role)

    async def stands_by_in_step(self) -> None:
        self.lease.holder, self.lease.token, self.lease.mark = "other", 7, 1
        await self.becomes(Role.STANDBY)
        self.election.on_event(b"mark 7 1")
        await until(lambda: self.election.in_step)
        self.lease.mark = 0

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.outbox.close()


@pytest.fixture
async def seat() -> AsyncIterator[Seat]:
    seat = Seat()
    yield seat
    await seat.close()


async def test_a_lone_bridge_becomes_active_and_what_waited_for_that_is_published(seat: Seat):
    seat.take(1, 2)
    assert seat.redis.sent == []
    await seat.becomes(Role.ACTIVE)
    seat.take(3)
    await until(lambda: seat.redis.sent == ["m1", "m2", "m3"])


async def test_a_standby_publishes_nothing_and_keeps_what_has_a_publishers_id(seat: Seat):
    await seat.stands_by_in_step()
    seat.take(1, 2)
    seat.take(3, id_given=False)
    assert seat.redis.sent == []
    assert len(seat.election.buffer) == 2


async def test_a_standby_forgets_what_the_active_bridge_has_finished(seat: Seat):
    await seat.stands_by_in_step()
    seat.take(1)
    seat.election.on_event(b"mark 7 2")
    seat.take(2)
    seat.lease.mark = 2
    await until(lambda: len(seat.election.buffer) == 1)


async def test_a_standby_takes_over_with_its_buffer_first(seat: Seat):
    await seat.stands_by_in_step()
    seat.take(1, 2)
    seat.lease.holder = ""
    await seat.becomes(Role.ACTIVE)
    seat.take(3)
    await until(lambda: seat.redis.sent == ["m1", "m2", "m3"])


async def test_a_bridge_that_is_not_in_step_leaves_a_free_lease_to_others_first(seat: Seat):
    seat.lease.seconds = 0.8
    seat.lease.holder, seat.lease.token = "other", 7
    await seat.becomes(Role.STANDBY)
    seat.lease.holder = ""
    await seat.becomes(Role.UNDECIDED)
    assert seat.lease.holder == ""
    await seat.becomes(Role.ACTIVE)


async def test_an_announced_handover_keeps_even_messages_without_an_id(seat: Seat):
    await seat.stands_by_in_step()
    seat.take(1)
    seat.election.on_event(b"handover other")
    assert seat.election.role is Role.UNDECIDED
    seat.take(2, id_given=False)
    seat.lease.holder = ""
    seat.election.on_event(b"released other")
    await until(lambda: seat.redis.sent == ["m1", "m2"])


async def test_while_the_lease_cannot_be_renewed_nothing_is_published(seat: Seat):
    await seat.becomes(Role.ACTIVE)
    seat.lease.down = True
    await until(lambda: not seat.lease.held())
    seat.take(1)
    assert seat.redis.sent == []
    seat.lease.down = False
    await until(lambda: seat.redis.sent == ["m1"])


async def test_an_active_bridge_that_lost_its_lease_keeps_what_has_an_id_and_tells_what_has_none(seat: Seat):
    await seat.becomes(Role.ACTIVE)
    await until(seat.lease.held)
    seat.redis.lose()
    seat.take(1)
    seat.take(2, id_given=False)
    seat.lease.holder, seat.lease.token = "other", 9
    await seat.becomes(Role.STANDBY)
    assert seat.outcomes == [("m2", "lease")]
    assert len(seat.election.buffer) == 1
    assert seat.outbox.count == 0


async def test_what_another_bridge_may_have_published_in_between_is_not_published_without_an_id(seat: Seat):
    await seat.becomes(Role.ACTIVE)
    seat.lease.down = True
    await until(lambda: not seat.lease.held())
    seat.take(1)
    seat.take(2, id_given=False)
    seat.lease.down, seat.lease.holder, seat.lease.token = False, ME, 5
    await until(lambda: seat.redis.sent == ["m1"])
    assert seat.election.dropped == 1
    assert seat.roles[-2:] == [Role.UNDECIDED, Role.ACTIVE]


async def test_an_active_bridge_that_missed_messages_leaves_the_lease_to_another(seat: Seat):
    await seat.becomes(Role.ACTIVE)
    seat.election.on_subscription(False)
    await until(lambda: seat.lease.released == 1)
    assert seat.election.role is Role.UNDECIDED
    seat.election.on_subscription(True)
    await seat.becomes(Role.ACTIVE)


async def test_a_mark_counts_as_done_when_everything_before_it_is_published(seat: Seat):
    await seat.becomes(Role.ACTIVE)
    seat.take(1)
    seat.election.on_event(b"mark 1 41")
    seat.election.on_event(b"mark 7 99")
    await until(lambda: len(seat.lease.done_marks) > 5)
    assert set(seat.lease.done_marks) == {0}
    seat.redis.answer(1)
    await until(lambda: seat.lease.done_marks[-1] == 41)


async def test_a_bridge_that_leaves_takes_nothing_behind_its_announcement(seat: Seat):
    await seat.becomes(Role.ACTIVE)
    await until(seat.lease.held)

    def publish(event: bytes) -> asyncio.Future:
        seat.take(1)
        seat.election.on_event(event)
        seat.take(2)
        done: asyncio.Future = asyncio.get_running_loop().create_future()
        done.set_result(1)
        return done

    await seat.election.announce_handover(publish, timeout=1)
    assert seat.redis.sent == ["m1"]
    assert seat.election.role is Role.ACTIVE


@pytest.mark.parametrize("event", [b"", b"mark", b"mark x y", b"mark 1 2 3", b"\xff", b"handover", b"nonsense 1"])
async def test_events_that_are_none_change_nothing(seat: Seat, event: bytes):
    await seat.becomes(Role.ACTIVE)
    seat.election.on_event(event)
    assert seat.election.role is Role.ACTIVE
