import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.loadtest.histogram import Histogram

durations = st.lists(st.floats(min_value=1e-5, max_value=100), min_size=1, max_size=200)


@given(durations, st.floats(min_value=0.1, max_value=100))
def test_a_percentile_is_within_one_per_cent_of_a_value_with_that_rank(values, percent):
    rank = max(1, -(-len(values) * percent // 100))
    expected = sorted(values)[int(rank) - 1]
    assert Histogram(values).percentile(percent) == pytest.approx(expected, rel=0.011)


@given(durations)
def test_extremes_and_mean_are_exact(values):
    histogram = Histogram(values)
    assert histogram.minimum == min(values)
    assert histogram.percentile(100) <= histogram.maximum == max(values)
    assert histogram.mean == pytest.approx(sum(values) / len(values))


@given(durations)
def test_the_curve_rises_to_one(values):
    curve = Histogram(values).curve()
    assert [point[0] for point in curve] == sorted(point[0] for point in curve)
    assert [point[1] for point in curve] == sorted(point[1] for point in curve)
    assert curve[-1][1] == 1


def test_without_values_everything_is_zero():
    assert set(Histogram().summary().values()) == {0}


def test_a_duration_below_the_smallest_bucket_still_counts():
    histogram = Histogram([0.0, -1e-9])
    assert histogram.count == 2
    assert histogram.percentile(99) <= 1e-6


def test_memory_does_not_grow_with_the_number_of_values():
    histogram = Histogram(random.Random(1).uniform(0.001, 1.0) for _ in range(50_000))
    assert len(histogram.curve()) < 1000
