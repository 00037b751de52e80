from __future__ import annotations

import asyncio

import pytest

from ginforge.server.inbox import Inbox


async def test_events_come_out_in_the_order_they_went_in() -> None:
    inbox = Inbox()
    for number in range(3):
        inbox.put_nowait({"n": number})
    assert [(await inbox.get())["n"] for _ in range(3)] == [0, 1, 2]


async def test_a_reader_waits_for_an_event() -> None:
    inbox = Inbox()
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    assert not reader.done()
    inbox.put_nowait({"n": 1})
    assert await reader == {"n": 1}


async def test_an_event_is_not_lost_to_a_reader_that_was_cancelled() -> None:
    inbox = Inbox()
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    inbox.put_nowait({"n": 1})
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await inbox.get() == {"n": 1}


async def test_a_second_reader_at_the_same_time_is_an_error() -> None:
    inbox = Inbox()
    reader = asyncio.create_task(inbox.get())
    await asyncio.sleep(0)
    with pytest.raises(RuntimeError, match="already"):
        await inbox.get()
    reader.cancel()


async def test_the_owner_hears_how_many_events_are_left() -> None:
    left: list[int] = []
    inbox = Inbox(left.append)
    assert [inbox.put_nowait({}) for _ in range(3)] == [1, 2, 3]
    for _ in range(3):
        await inbox.get()
    assert left == [2, 1, 0]
    assert len(inbox) == 0


async def test_everything_can_be_taken_at_once() -> None:
    inbox = Inbox()
    inbox.put_nowait({"n": 1})
    inbox.put_nowait({"n": 2})
    assert inbox.take_all() == [{"n": 1}, {"n": 2}]
    assert inbox.take_all() == []
