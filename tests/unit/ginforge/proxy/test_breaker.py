from __future__ import annotations

from ginforge.proxy.breaker import Breaker, State


def opened() -> Breaker:
    breaker = Breaker(2, 10)
    breaker.fail(0)
    breaker.fail(0)
    return breaker


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    breaker = Breaker(2, 10)
    breaker.fail(0)
    breaker.succeed()
    breaker.fail(0)
    assert breaker.allows(0)
    breaker.fail(0)
    assert breaker.state is State.OPEN
    assert not breaker.allows(9.9)


def test_when_its_time_is_over_one_trial_goes_through() -> None:
    breaker = opened()
    assert breaker.allows(10)
    breaker.begin()
    assert breaker.state is State.HALF_OPEN
    assert not breaker.allows(10)


def test_a_good_trial_closes_it_and_a_bad_one_opens_it_again() -> None:
    good, bad = opened(), opened()
    for breaker in (good, bad):
        assert breaker.allows(10)
        breaker.begin()
    good.succeed()
    bad.fail(10)
    assert (good.state, bad.state) == (State.CLOSED, State.OPEN)
    assert not bad.allows(19)


def test_a_trial_whose_client_left_makes_room_for_the_next() -> None:
    breaker = opened()
    assert breaker.allows(10)
    breaker.begin()
    breaker.abandon()
    assert breaker.allows(10)


def test_a_late_answer_to_an_old_request_does_not_close_an_open_circuit() -> None:
    breaker = opened()
    breaker.succeed()
    assert breaker.state is State.OPEN
