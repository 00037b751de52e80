"""The checker finds every kind of violation; a checker that cannot fail proves nothing."""

from __future__ import annotations

from tests.chaos.history import History, Joined, Received, Sent, Told

ME, STREAM = "alice/0", "user:alice"


def history_of(*numbers: int, accepted: int = 3) -> History:
    history = History()
    history.joined[ME, STREAM] = Joined(ME, STREAM, 0.0)
    for number in range(1, accepted + 1):
        history.sent[STREAM, number] = Sent(STREAM, number, float(number), accepted=True)
    history.received = [Received(ME, STREAM, number, 10.0) for number in numbers]
    return history


def test_everything_once_in_order_is_clean() -> None:
    assert history_of(1, 2, 3).check().clean


def test_a_missing_message_is_lost_unseen() -> None:
    history = history_of(1, 3)
    assert history.check().lost_unseen == [(ME, STREAM, 2)]
    assert history.missing() == [(ME, STREAM, 2)]


def test_a_missing_message_is_told_lost_when_the_client_was_told_after_it_was_sent() -> None:
    history = history_of(1, 3)
    history.told.append(Told(ME, STREAM, 2.5))
    verdict = history.check()
    assert verdict.clean
    assert verdict.told_lost == 1


def test_being_told_before_a_message_was_sent_does_not_excuse_its_loss() -> None:
    history = history_of(1, 3)
    history.told.append(Told(ME, STREAM, 1.5))
    assert history.check().lost_unseen == [(ME, STREAM, 2)]


def test_being_told_of_another_stream_does_not_excuse_a_loss() -> None:
    history = history_of(1, 3)
    history.told.append(Told(ME, "broadcast", 9.0))
    assert history.check().lost_unseen


def test_a_message_that_was_not_accepted_may_be_missing() -> None:
    history = history_of(1, 2, accepted=2)
    history.sent[STREAM, 3] = Sent(STREAM, 3, 3.0, accepted=False)
    assert history.check().clean


def test_a_message_twice_is_doubled() -> None:
    assert history_of(1, 2, 2, 3).check().doubled == [(ME, STREAM, 2)]


def test_a_later_message_first_is_reordered() -> None:
    assert history_of(2, 1, 3).check().reordered == [(ME, STREAM, 1)]


def test_a_message_nobody_sent_is_a_phantom() -> None:
    assert history_of(1, 2, 3, 4).check().phantom == [(ME, STREAM, 4)]


def test_a_message_on_a_stream_the_client_is_not_in_is_foreign() -> None:
    history = history_of(1, 2, 3)
    history.sent["room:other", 1] = Sent("room:other", 1, 1.0, accepted=True)
    history.received.append(Received(ME, "room:other", 1, 10.0))
    assert history.check().foreign == [(ME, "room:other", 1)]
