"""The token bucket: bursts, then the rate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime.limits import TokenBucket


def test_a_burst_passes_and_then_the_rate():
    bucket = TokenBucket(100, now=0)
    assert sum(bucket.take(0, 50, 100) for _ in range(200)) == 100
    assert sum(bucket.take(1, 50, 100) for _ in range(200)) == 50


def test_rest_does_not_save_up_more_than_the_burst():
    bucket = TokenBucket(10, now=0)
    assert sum(bucket.take(1e6, 50, 10) for _ in range(50)) == 10


def test_a_refused_unit_costs_nothing():
    bucket = TokenBucket(10, now=0)
    assert not bucket.take(0, 1, 10, cost=11)
    assert bucket.take(0, 1, 10, cost=10)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=200), st.floats(0.1, 100), st.integers(1, 50))
def test_no_sequence_of_calls_gets_more_than_burst_plus_rate_times_time(pauses, rate, burst):
    bucket, now, passed = TokenBucket(burst, 0), 0.0, 0
    for pause in pauses:
        now += pause
        passed += bucket.take(now, rate, burst)
    assert passed <= burst + rate * now + 1e-6
