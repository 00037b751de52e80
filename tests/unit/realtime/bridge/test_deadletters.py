"""Dead letters reach Redis in order, cut and counted, and wait for it within bounds."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import Any

import pytest

from realtime.bridge import deadletters as module
from realtime.bridge.deadletters import DeadLetterWriter
from realtime.codes import Unavailable
from realtime.conf import RealtimeSettings
from tests.unit.realtime.bridge.jobs import until

CONF = RealtimeSettings(dead_letter_payload=10, dead_letter_limit=100)


class FakeLink:
    def __init__(self) -> None:
        self.connected = asyncio.Event()
        self.connected.set()
        self.commands: list[dict[str, Any]] = []
        self.failures = 0

    def call(self, *args: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self.failures:
            self.failures -= 1
            future.set_exception(Unavailable("away"))
        else:
            self.commands.append({"head": args[:6], **dict(zip(args[6::2], args[7::2], strict=True))})
            future.set_result(b"1-1")
        return future


def writer_on(link: Any) -> DeadLetterWriter:
    return DeadLetterWriter(link, CONF)


async def test_a_dead_letter_holds_what_the_admin_shows():
    link = FakeLink()
    writer = writer_on(link)
    writer.add(b"websocket:x", b"0123456789abc", "json", text="not valid", source="pubsub")
    await writer.drain(1)
    letter = link.commands[0]
    assert letter.pop("head") == ("XADD", "ginforge:deadletters", "MAXLEN", "~", 100, "*")
    assert float(letter.pop("at")) > 1e9
    assert letter == {
        "channel": b"websocket:x",
        "payload": b"0123456789",
        "size": 13,
        "reason": "json: not valid",
        "source": "pubsub",
    }


async def test_letters_are_written_in_order_and_then_told():
    link, told = FakeLink(), list[int]()
    link.connected.clear()
    writer = writer_on(link)
    for number in range(250):
        writer.add(b"c", b"%d" % number, "json", text="", source="stream", done=functools.partial(told.append, number))
    assert told == []
    link.connected.set()
    await writer.drain(5)
    assert [command["payload"] for command in link.commands] == [b"%d" % number for number in range(250)]
    assert told == list(range(250))


async def test_a_write_that_failed_is_made_again(monkeypatch):
    monkeypatch.setattr(module, "_PAUSE", 0.001)
    link = FakeLink()
    link.failures = 3
    writer = writer_on(link)
    writer.add(b"c", b"x", "json", text="", source="pubsub")
    await until(lambda: link.commands)
    await writer.drain(1)


async def test_too_many_waiting_letters_are_refused(monkeypatch):
    monkeypatch.setattr(module, "_MAX_WAITING", 2)
    link = FakeLink()
    link.connected.clear()
    writer = writer_on(link)
    kept = [writer.add(b"c", b"x", "json", text="", source="pubsub") for _ in range(3)]
    assert kept == [True, True, False]
    assert writer.total == 2
    await writer.close()


async def test_a_flood_of_bad_messages_does_not_flood_the_log(caplog: pytest.LogCaptureFixture):
    writer = writer_on(FakeLink())
    with caplog.at_level(logging.WARNING):
        for _ in range(500):
            writer.add(b"c", b"secret", "json", text="", source="pubsub")
    await writer.drain(5)
    assert 1 <= len(caplog.records) <= 50
    assert "secret" not in caplog.text
