"""A standby keeps exactly what the active bridge may not have published."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.bridge import standby
from realtime.bridge.standby import StandbyBuffer
from tests.unit.realtime.bridge.jobs import make_job

busy_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def filled(*numbers: int) -> StandbyBuffer:
    buffer = StandbyBuffer()
    for number in numbers:
        buffer.add(make_job(number))
    return buffer


def ids(buffer: StandbyBuffer) -> list[str]:
    return [job.routed.message_id for job in buffer.take()]


def test_what_came_before_a_mark_that_is_done_is_forgotten():
    buffer = filled(1, 2)
    buffer.mark(7, 1)
    buffer.add(make_job(3))
    buffer.mark(7, 2)
    buffer.add(make_job(4))
    buffer.done(7, 1)
    assert ids(buffer) == ["m3", "m4"]


def test_a_mark_that_is_done_covers_all_marks_before_it():
    buffer = filled(1)
    buffer.mark(7, 1)
    buffer.add(make_job(2))
    buffer.mark(7, 5)
    buffer.add(make_job(3))
    buffer.done(7, 9)
    assert ids(buffer) == ["m3"]


def test_a_mark_of_another_term_says_nothing():
    buffer = filled(1)
    buffer.mark(7, 1)
    buffer.done(8, 100)
    assert ids(buffer) == ["m1"]


def test_a_mark_that_was_never_heard_says_nothing():
    buffer = filled(1)
    buffer.done(7, 3)
    assert ids(buffer) == ["m1"]


def test_handing_over_empties_the_buffer():
    buffer = filled(1, 2)
    buffer.mark(1, 1)
    assert ids(buffer) == ["m1", "m2"]
    assert (len(buffer), buffer.size) == (0, 0)
    buffer.add(make_job(3))
    buffer.done(1, 1)
    assert ids(buffer) == ["m3"]


def test_number_and_bytes_are_bounded_and_the_oldest_go_first(monkeypatch):
    monkeypatch.setattr(standby, "MAX_JOBS", 3)
    buffer = filled(1, 2, 3, 4, 5)
    assert buffer.dropped == 2
    monkeypatch.setattr(standby, "MAX_BYTES", 5000)
    buffer.add(make_job(6, text=b"x" * 4400))
    assert buffer.dropped == 5
    assert ids(buffer) == ["m6"]


def test_a_message_received_earlier_takes_its_place():
    buffer = filled(1, 5)
    buffer.mark(1, 1)
    buffer.add(make_job(9))
    buffer.put_in_order(make_job(3))
    buffer.put_in_order(make_job(10))
    buffer.done(1, 1)
    assert ids(buffer) == ["m9", "m10"]


@busy_machine
@given(st.lists(st.sampled_from(["message", "mark", "done"]), max_size=60))
def test_nothing_behind_the_last_done_mark_is_ever_lost(steps):
    buffer = StandbyBuffer()
    marks = done = messages = 0
    behind: dict[int, int] = {}
    for step in steps:
        if step == "message":
            messages += 1
            buffer.add(make_job(messages))
        elif step == "mark":
            marks += 1
            behind[marks] = messages
            buffer.mark(1, marks)
        elif done < marks:
            done += 1
            buffer.done(1, done)
    assert ids(buffer) == [f"m{n}" for n in range(behind.get(done, 0) + 1, messages + 1)]
