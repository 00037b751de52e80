from __future__ import annotations

from ginforge.supervisor.restarts import Deaths, RestartPolicy


def test_the_fifth_death_within_a_minute_is_the_end() -> None:
    deaths = Deaths(RestartPolicy())
    assert [deaths.record(now) is None for now in (0, 10, 20, 30, 40)] == [False, False, False, False, True]


def test_deaths_of_more_than_a_minute_ago_are_forgiven() -> None:
    deaths = Deaths(RestartPolicy())
    assert all(deaths.record(now) is not None for now in range(0, 1000, 16))


def test_the_wait_doubles_up_to_its_cap_and_is_spread_over_its_upper_half() -> None:
    policy = RestartPolicy(limit=100, base=1.0, cap=5.0)
    longest, shortest = Deaths(policy), Deaths(policy)
    assert [longest.record(0, chance=1.0) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert [shortest.record(0, chance=0.0) for _ in range(5)] == [0.5, 1, 2, 2.5, 2.5]
