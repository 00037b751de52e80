from hypothesis import given
from hypothesis import strategies as st

from realtime.loadtest.tally import Tally


def tally_of(published: int, received: list[int], *, audience: tuple[int, ...] = (1,)) -> Tally:
    tally = Tally()
    tally.open("s", audience)
    for _ in range(published):
        tally.publish("s")
    for sequence in received:
        tally.receive(1, "s", sequence)
    return tally


def test_everything_in_order_is_complete():
    tally = tally_of(3, [1, 2, 3])
    outcome = tally.outcome()
    assert tally.complete
    assert (outcome.lost, outcome.duplicates, outcome.reordered, outcome.unexpected) == (0, 0, 0, 0)


def test_a_hole_is_a_loss_until_it_is_filled():
    tally = tally_of(3, [1, 3])
    assert tally.outcome().lost == 1
    assert not tally.complete
    tally.receive(1, "s", 2)
    assert tally.outcome().lost == 0
    assert tally.outcome().reordered == 1


def test_the_missing_end_is_a_loss():
    assert tally_of(5, [1, 2]).outcome().lost == 3


def test_a_receiver_that_heard_nothing_lost_everything():
    outcome = tally_of(4, [1, 2, 3, 4], audience=(1, 2)).outcome()
    assert (outcome.expected, outcome.lost, outcome.loss) == (8, 4, 0.5)


def test_a_second_copy_is_a_duplicate_and_not_a_delivery():
    tally = tally_of(2, [1, 1])
    assert tally.outcome().duplicates == 1
    assert not tally.complete


def test_a_message_to_somebody_outside_the_audience_is_unexpected():
    tally = tally_of(1, [1])
    tally.receive(99, "s", 1)
    assert tally.outcome().unexpected == 1
    assert tally.outcome().lost == 0


@given(st.integers(0, 30).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(1, max(n, 1)), max_size=60))))
def test_counts_agree_with_sets(case):
    published, received = case
    received = received if published else []
    outcome = tally_of(published, received).outcome()
    assert outcome.lost == published - len(set(received))
    assert outcome.duplicates == len(received) - len(set(received))
