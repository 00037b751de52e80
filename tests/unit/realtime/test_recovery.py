"""One ``resume`` against a scripted Redis: what was missed, once, in order, and live behind it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.connection import Connection
from realtime.fanout import Fanout
from realtime.recovery import Recovery
from realtime.sequencer import Position
from realtime.sockets import Cork
from realtime.streams import Streams
from tests.unit.realtime.doubles import FakeLayer, RecordingSocket, make_connection

ROOM = "room.r"


class Gateway:
    """Streams over a scripted Redis, and clients that resume one room."""

    def __init__(self, history_size: int = 1000) -> None:
        self.layer = FakeLayer(history_size)
        self.streams = Streams(
            self.layer,  # type: ignore[arg-type]  # a stand-in
            Fanout(lambda *_: None),
            on_reset=lambda *_: None,
            on_open=lambda _: None,
            on_close=lambda _: None,
        )
        self.layer.sink = self.streams

    def resume(self, connection: Connection, since: Position, *refused: str, name: str = "room:r") -> Recovery:
        """Begin as the dispatcher does: live frames are held back until the replay has been sent."""
        socket = connection.socket
        cork = connection.socket = Cork(socket, 1_000_000)

        def done(texts: list[bytes]) -> None:
            for text in texts:
                connection.reply(text)
            connection.socket = socket
            for frame in cork.frames:
                socket.send_frame(frame)

        recovery = Recovery(self.layer, self.streams, connection, request=None, done=done)  # type: ignore[arg-type]
        recovery.start({name: since}, set(refused))
        return recovery


def messages(connection: Connection) -> list[dict[str, Any]]:
    socket = connection.socket.socket if isinstance(connection.socket, Cork) else connection.socket
    assert isinstance(socket, RecordingSocket)
    return socket.messages


def offsets(connection: Connection) -> list[int]:
    return [m["data"]["stream"]["offset"] for m in messages(connection) if m.get("type") != "resumed"]


def result(connection: Connection) -> dict[str, Any]:
    (resumed,) = [m for m in messages(connection) if m.get("type") == "resumed"]
    return resumed["content"]["streams"]["room:r"]


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


def test_the_replay_follows_resumed_and_live_messages_follow_the_replay(gateway):
    for _ in range(5):
        gateway.layer.append(ROOM)
    client = make_connection()
    gateway.resume(client, Position("e1", 2))
    gateway.layer.append(ROOM)
    gateway.layer.pump()
    gateway.layer.append(ROOM)
    gateway.layer.pump()
    assert messages(client)[0].get("type") == "resumed"
    assert offsets(client) == [3, 4, 5, 6, 7]
    assert result(client) == {"recovered": True, "count": 3, "epoch": "e1", "offset": 5}


def test_a_room_that_is_refused_is_not_entered(gateway):
    client = make_connection()
    gateway.resume(client, Position("e1", 0), "room:r")
    assert result(client)["error"]["code"] == 403
    assert (result(client)["recovered"], result(client)["count"]) == (False, 0)
    assert gateway.streams.get(ROOM) is None


def test_a_history_that_is_gone_is_said_with_the_position_to_go_on_from(gateway):
    gateway.layer.append(ROOM)
    gateway.layer.expire(ROOM)
    client = make_connection()
    gateway.resume(client, Position("e1", 0))
    gateway.layer.pump()
    assert result(client) == {"recovered": False, "count": 0, "epoch": "e1", "offset": 1}
    gateway.layer.append(ROOM)
    gateway.layer.pump()
    assert offsets(client) == [2]


def test_a_redis_that_is_away_is_an_error_to_try_again_after(gateway):
    gateway.layer.failing = True
    client = make_connection()
    gateway.resume(client, Position("e1", 0))
    gateway.layer.pump()
    assert result(client)["error"]["code"] == 503
    assert result(client)["count"] == 0


def test_a_client_that_has_gone_meanwhile_is_no_member(gateway):
    gateway.layer.append(ROOM)
    client = make_connection()
    gateway.resume(client, Position("e1", 0))
    client.closing = True
    gateway.layer.pump()
    assert gateway.streams.get(ROOM) is None


def test_two_resumes_of_one_client_tell_nothing_twice(gateway):
    for _ in range(3):
        gateway.layer.append(ROOM)
    client = make_connection()
    gateway.resume(client, Position("e1", 0))
    gateway.layer.pump()
    gateway.layer.append(ROOM)
    gateway.layer.pump()
    gateway.resume(client, Position("e1", 4))
    gateway.layer.pump()
    assert offsets(client) == [1, 2, 3, 4]


@given(
    before=st.integers(0, 5),
    since=st.integers(0, 5),
    during=st.lists(st.sampled_from(["publish", "pump", "lose"]), max_size=12),
    others=st.booleans(),
)
@settings(max_examples=200)
def test_whatever_is_published_meanwhile_the_client_sees_all_once_and_in_order(before, since, during, others):
    gateway = Gateway()
    if others:
        gateway.streams.enter(ROOM, "room:r", "r", make_connection("other"), lambda _: None)
        gateway.layer.pump()
    for _ in range(before):
        gateway.layer.append(ROOM)
    since = min(since, before)
    client = make_connection()
    gateway.resume(client, Position("e1", since))
    published = before
    for step in during:
        if step == "pump":
            gateway.layer.pump(1)
        else:
            gateway.layer.append(ROOM, lost=step == "lose")
            published += 1
    gateway.layer.pump()
    gateway.layer.append(ROOM)
    gateway.layer.pump()
    gateway.streams.check_tops()
    gateway.layer.pump()
    assert result(client)["recovered"] is True
    assert offsets(client) == list(range(since + 1, published + 2))
    json.dumps(messages(client))
