"""Offsets in order, each once, whatever the way does to the messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from realtime.sequencer import Feed, Item, Position, Sequencer


def item(offset: int, epoch: str = "e") -> Item:
    return Item(epoch, offset, 0, b"%d" % offset)


def started(offset: int = 0) -> Sequencer:
    sequencer = Sequencer()
    assert sequencer.start_at("e", offset) == []
    return sequencer


def offsets(items: list[Item]) -> list[int]:
    return [one.offset for one in items]


def test_the_next_is_delivered_an_old_one_dropped_and_one_behind_a_hole_held():
    sequencer = started(3)
    assert sequencer.feed(item(4)) is Feed.DELIVER
    assert sequencer.feed(item(4)) is Feed.DUPLICATE
    assert sequencer.feed(item(2)) is Feed.DUPLICATE
    assert sequencer.feed(item(6)) is Feed.HELD
    assert sequencer.position == Position("e", 4)


def test_what_arrives_before_the_start_is_known_waits():
    sequencer = Sequencer()
    assert sequencer.feed(item(4)) is Feed.HELD
    assert sequencer.feed(item(5)) is Feed.HELD
    assert sequencer.feed(item(6)) is Feed.HELD
    assert offsets(sequencer.start_at("e", 4)) == [5, 6]


def test_a_hole_is_filled_in_order_and_what_was_held_follows():
    sequencer = started()
    sequencer.feed(item(3))
    assert offsets(sequencer.fill(True, Position("e", 3), [item(1), item(2), item(3)])) == [1, 2, 3]
    assert sequencer.feed(item(4)) is Feed.DELIVER


def test_a_history_that_is_gone_jumps_to_the_first_message_held():
    sequencer = started(1)
    sequencer.feed(item(9))
    assert offsets(sequencer.fill(False, Position("e", 9), [])) == [9]


def test_a_history_that_is_gone_with_nothing_held_jumps_to_the_top():
    sequencer = started(1)
    assert sequencer.fill(False, Position("e", 9), []) == []
    assert sequencer.position == Position("e", 9)


def test_another_epoch_is_taken_from_its_beginning():
    sequencer = started(7)
    assert sequencer.feed(item(1, "f")) is Feed.HELD
    assert offsets(sequencer.fill(False, Position("f", 1), [])) == [1]
    assert sequencer.position == Position("f", 1)


def test_messages_of_an_epoch_that_has_ended_are_dropped_not_held_for_ever():
    sequencer = started(7)
    assert sequencer.feed(item(9)) is Feed.HELD
    sequencer.fill(False, Position("f", 0), [])
    assert sequencer.held is None


@given(st.permutations(range(1, 12)), st.lists(st.integers(1, 11), max_size=10), st.data())
def test_any_order_with_any_repetition_is_delivered_once_in_order(order, repeated, data):
    sequencer, delivered = started(), []
    feeds = [*order]
    for offset in repeated:
        feeds.insert(data.draw(st.integers(0, len(feeds))), offset)
    for offset in feeds:
        if sequencer.feed(item(offset)) is Feed.DELIVER:
            delivered.append(offset)
        if data.draw(st.booleans()) and sequencer.held:
            top = max([offset, sequencer.offset, *offsets(sequencer.held)])
            missed = [item(n) for n in range(sequencer.offset + 1, top + 1)]
            delivered += offsets(sequencer.fill(True, Position("e", top), missed))
    missed = [item(n) for n in range(sequencer.offset + 1, 12)]
    delivered += offsets(sequencer.fill(True, Position("e", 11), missed))
    assert delivered == list(range(1, 12))
    assert not sequencer.held
