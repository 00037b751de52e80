"""Local streams against a scripted Redis: holes filled, members told when they cannot be, nothing twice."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.codes import Unavailable
from realtime.connection import Connection
from realtime.fanout import Fanout
from realtime.sequencer import Position
from realtime.streams import LocalStream, Streams
from tests.unit.realtime.doubles import FakeLayer, make_connection, sent_to

GROUP = "room.r"


class Gateway:
    """``Streams`` with a scripted layer, and what it reported."""

    def __init__(self, history_size: int = 1000) -> None:
        self.layer = FakeLayer(history_size)
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.streams = Streams(
            self.layer,  # type: ignore[arg-type]  # a stand-in
            Fanout(lambda *_: None),
            on_reset=self.reset,
            on_open=lambda stream: self.opened.append(stream.key),
            on_close=lambda stream: self.closed.append(stream.key),
        )
        self.layer.sink = self.streams

    def reset(self, stream: LocalStream, at: Position) -> None:
        for member in stream.members:
            member.send(json.dumps({"type": "reset", "epoch": at.epoch, "offset": at.offset}).encode())

    def enter(self, connection: Connection, group: str = GROUP) -> list[Position | Exception]:
        answers: list[Position | Exception] = []
        self.streams.enter(group, "room:r", "r", connection, answers.append)
        return answers


def offsets(connection: Connection) -> list[int]:
    return [message["data"]["stream"]["offset"] for message in sent_to(connection) if message.get("type") != "reset"]


def resets(connection: Connection) -> list[tuple[str, int]]:
    return [(m["epoch"], m["offset"]) for m in sent_to(connection) if m.get("type") == "reset"]


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def test_a_member_learns_its_position_and_hears_everything_behind_it(gateway):
    gateway.layer.append(GROUP)
    member = make_connection()
    answers = gateway.enter(member)
    assert answers == []
    gateway.layer.append(GROUP)
    gateway.layer.pump()
    assert answers == [Position("e1", 1)]
    assert offsets(member) == [2]


def test_a_second_member_enters_at_once(gateway):
    gateway.enter(make_connection())
    gateway.layer.pump()
    gateway.layer.append(GROUP)
    gateway.layer.pump()
    assert gateway.enter(make_connection("8")) == [Position("e1", 1)]


def test_a_lost_message_is_fetched_when_the_next_one_shows_the_hole(gateway):
    member = make_connection()
    gateway.enter(member)
    gateway.layer.pump()
    gateway.layer.append(GROUP, lost=True)
    gateway.layer.append(GROUP, lost=True)
    gateway.layer.append(GROUP)
    gateway.layer.pump()
    assert offsets(member) == [1, 2, 3]


def test_the_last_message_lost_is_found_by_the_comparison_with_the_top(gateway):
    member = make_connection()
    gateway.enter(member)
    gateway.layer.pump()
    gateway.layer.append(GROUP, lost=True)
    gateway.layer.pump()
    assert offsets(member) == []
    gateway.streams.check_tops()
    gateway.layer.pump()
    assert offsets(member) == [1]


def test_after_a_reconnect_every_stream_of_the_shard_is_filled(gateway):
    member = make_connection()
    gateway.enter(member)
    gateway.layer.pump()
    gateway.layer.append(GROUP, lost=True)
    gateway.streams.link_up(0)
    gateway.layer.pump()
    assert offsets(member) == [1]


def test_members_are_told_when_the_history_is_gone(gateway):
    member = make_connection()
    gateway.enter(member)
    gateway.layer.pump()
    gateway.layer.append(GROUP, lost=True)
    gateway.layer.expire(GROUP)
    gateway.layer.append(GROUP)
    gateway.layer.pump()
    assert resets(member) == [("e1", 1)]
    assert offsets(member) == [2]


def test_a_restarted_redis_begins_a_new_epoch_from_its_first_message(gateway):
    member = make_connection()
    gateway.enter(member)
    gateway.layer.append(GROUP)
    gateway.layer.pump()
    gateway.layer.restart()
    gateway.layer.append(GROUP)
    gateway.layer.append(GROUP)
    gateway.layer.pump()
    assert resets(member) == [("e2", 0)]
    assert offsets(member) == [1, 1, 2]


def test_a_message_held_when_its_epoch_ends_does_not_make_the_gateway_ask_for_ever(gateway):
    member = make_connection()
    gateway.enter(member)
    gateway.layer.pump()
    gateway.layer.append(GROUP, lost=True)
    gateway.layer.append(GROUP)
    gateway.layer.restart()
    gateway.layer.pump(100)
    assert not gateway.layer.wire
    assert gateway.layer.reads < 10


def test_a_failed_read_is_tried_again_by_the_next_comparison(gateway):
    member = make_connection()
    gateway.enter(member)
    gateway.layer.pump()
    gateway.layer.append(GROUP, lost=True)
    gateway.layer.append(GROUP)
    gateway.layer.failing = True
    gateway.layer.pump()
    gateway.layer.failing = False
    gateway.streams.check_tops()
    gateway.layer.pump()
    assert offsets(member) == [1, 2]


def test_a_join_fails_when_the_position_cannot_be_read(gateway):
    gateway.layer.failing = True
    (answer,) = gateway.enter(make_connection())
    assert isinstance(answer, Unavailable)
    assert gateway.streams.get(GROUP) is None
    assert gateway.closed == ["r"]


def test_the_last_member_takes_the_stream_with_it(gateway):
    one, other = make_connection(), make_connection("8")
    gateway.enter(one)
    gateway.enter(other)
    gateway.layer.pump()
    gateway.streams.leave(GROUP, one)
    assert gateway.streams.get(GROUP) is not None
    gateway.streams.leave(GROUP, other)
    assert gateway.streams.get(GROUP) is None
    assert (gateway.opened, gateway.closed, gateway.layer.joined) == (["r"], ["r"], set())


def test_a_pinned_stream_stays_without_members(gateway):
    gateway.streams.pin("broadcast", "broadcast", lambda _: None)
    member = make_connection()
    gateway.enter(member, "broadcast")
    gateway.layer.pump()
    gateway.streams.leave("broadcast", member)
    assert gateway.streams.get("broadcast") is not None


def test_a_client_that_went_before_the_answer_does_not_become_a_member(gateway):
    member = make_connection()
    answers = gateway.enter(member)
    member.closing = True
    gateway.layer.pump()
    assert isinstance(answers[0], Unavailable)
    assert gateway.streams.get(GROUP) is None


STEPS = st.lists(
    st.sampled_from(
        ["publish", "publish", "lose", "double", "restart", "expire", "pump", "some", "check", "reconnect"]
    ),
    max_size=40,
)


@given(STEPS, st.integers(1, 6))
@settings(max_examples=300)
def test_whatever_happens_each_message_comes_once_in_order_or_its_loss_is_told(steps, history_size):
    gateway = Gateway(history_size)
    member = make_connection()
    gateway.enter(member)
    gateway.layer.pump()
    for step in steps:
        {
            "publish": lambda: gateway.layer.append(GROUP),
            "lose": lambda: gateway.layer.append(GROUP, lost=True),
            "double": lambda: gateway.layer.append(GROUP, copies=2),
            "restart": gateway.layer.restart,
            "expire": lambda: gateway.layer.expire(GROUP),
            "pump": gateway.layer.pump,
            "some": lambda: gateway.layer.pump(2),
            "check": gateway.streams.check_tops,
            "reconnect": lambda: gateway.streams.link_up(0),
        }[step]()
    gateway.layer.pump(1000)
    gateway.streams.check_tops()
    gateway.layer.pump(1000)
    assert not gateway.layer.wire, "the gateway asks for ever"
    epoch, offset = "e1", 0
    for message in sent_to(member):
        if message.get("type") == "reset":
            assert message["epoch"] != epoch or message["offset"] >= offset
            epoch, offset = message["epoch"], message["offset"]
        else:
            at = message["data"]["stream"]
            assert (at["epoch"], at["offset"]) == (epoch, offset + 1)
            offset += 1
    top = gateway.layer.append(GROUP, lost=True)
    assert (epoch, offset) == (top.epoch, top.offset - 1)
