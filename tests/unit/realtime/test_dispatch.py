"""A client's messages are dealt with one after the other, and no more of them wait than the limit allows."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from realtime.codes import ErrorCode, ProtocolError, Unavailable
from realtime.conf import RealtimeSettings
from realtime.connection import Connection
from realtime.dispatch import Dispatcher, Receiver
from realtime.registry import message_type, unregister
from tests.unit.realtime.doubles import make_connection, sent_to

CONF = RealtimeSettings(max_inbound_queue=4, message_burst=10_000)


class Doors:
    """A custom type whose handler waits until the test lets it go on."""

    def __init__(self) -> None:
        self.doors: list[asyncio.Future[Any]] = []

    async def __call__(self, context: Any) -> Any:
        door: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.doors.append(door)
        return await door


@pytest.fixture
def slow():
    doors = Doors()
    message_type("slow")(doors)
    yield doors
    unregister("slow")


@pytest.fixture
def dispatcher() -> Dispatcher:
    hub = SimpleNamespace(conf=CONF, layer=None, tracer=SimpleNamespace(wanted={}))
    return Dispatcher(hub)  # type: ignore[arg-type]  # what these tests need of a hub


@pytest.fixture
def connection() -> Connection:
    return make_connection(conf=CONF)


def payload(kind: str, number: int) -> bytes:
    return json.dumps({"type": kind, "id": number}).encode()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_message_behind_a_slow_one_waits_for_it(dispatcher, connection, slow):
    receiver = Receiver(dispatcher, connection)
    receiver(payload("slow", 1))
    receiver(payload("ping", 2))
    await turns()
    assert sent_to(connection) == []
    slow.doors[0].set_result("done")
    await turns()
    assert [(m["type"], m["id"]) for m in sent_to(connection)] == [("ack", 1), ("pong", 2)]


async def test_reading_pauses_while_too_many_wait_and_goes_on_afterwards(dispatcher, connection, slow):
    for number in range(1, 6):
        dispatcher.receive(connection, payload("slow" if number == 1 else "ping", number))
    await turns()
    assert connection.socket.paused
    slow.doors[0].set_result(None)
    await turns()
    assert not connection.socket.paused
    assert [m["id"] for m in sent_to(connection)] == [1, 2, 3, 4, 5]


async def test_reading_stays_paused_while_too_many_wait_behind_the_next_slow_one(dispatcher, connection, slow):
    for number in range(30):
        dispatcher.receive(connection, payload("slow", number))
    await turns()
    for number in range(30):
        assert connection.socket.paused is (30 - number - 1 >= CONF.max_inbound_queue)
        slow.doors[number].set_result(None)
        await turns()
    assert [m["id"] for m in sent_to(connection)] == list(range(30))
    assert dispatcher.backlog(connection) == 0


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (ProtocolError(ErrorCode.INVALID, "no such order"), 422),
        (Unavailable("away"), 503),
        (RuntimeError("a bug"), 500),
    ],
)
async def test_what_a_handler_raises_becomes_an_error_frame_and_the_next_message_follows(
    dispatcher, connection, slow, failure, code
):
    dispatcher.receive(connection, payload("slow", 1))
    dispatcher.receive(connection, payload("ping", 2))
    await turns()
    slow.doors[0].set_exception(failure)
    await turns()
    error, pong = sent_to(connection)
    assert (error["type"], error["content"]["code"], error["id"]) == ("error", code, 1)
    assert pong["id"] == 2
    assert "a bug" not in json.dumps(error)


async def test_a_client_that_is_being_cut_is_not_listened_to(dispatcher, connection):
    connection.closing = True
    dispatcher.receive(connection, payload("ping", 1))
    assert sent_to(connection) == []


async def test_what_waits_is_dropped_with_the_connection(dispatcher, connection, slow):
    dispatcher.receive(connection, payload("slow", 1))
    dispatcher.receive(connection, payload("slow", 2))
    await turns()
    connection.closing = True
    slow.doors[0].set_result(None)
    await turns()
    assert len(slow.doors) == 1


async def test_a_bug_while_taking_a_message_is_told_as_500(dispatcher, connection, monkeypatch):
    monkeypatch.setattr(type(connection.session), "receive", lambda *_: 1 / 0)
    dispatcher.receive(connection, payload("ping", 1))
    assert sent_to(connection)[0]["content"]["code"] == 500
