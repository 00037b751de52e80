from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.loadtest.svg import Axis, bars, lines, stack

values = st.floats(min_value=0, max_value=1e9, allow_subnormal=False)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=50))
def test_any_points_make_a_well_formed_plot(points):
    x = Axis("x & y", min(p[0] for p in points), max(p[0] for p in points))
    y = Axis("<y>", 0, max(p[1] for p in points))
    ElementTree.fromstring(lines({"a < b": points}, x=x, y=y))


@given(st.lists(st.tuples(st.text(alphabet="ab<&>\"'", max_size=9), values, st.just("1")), max_size=9))
def test_any_bars_make_a_well_formed_document(rows):
    ElementTree.fromstring(stack([bars(rows, title="a & b")], 200))


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 7.3), (5, 2000), (0, 1e-4)])
def test_ticks_lie_on_the_axis(low, high):
    ticks = Axis("", low, high).ticks()
    assert 2 <= len(ticks) <= 7
    assert all(low <= tick <= high * 1.000001 for tick in ticks)


def test_a_logarithmic_axis_is_labelled_with_powers_of_ten():
    assert Axis("", 0.5, 200, log=True).ticks() == [1, 10, 100]


def test_a_short_logarithmic_axis_has_more_labels_than_powers_of_ten():
    assert Axis("", 0.5, 9, log=True).ticks() == [0.5, 1, 2, 5]
