"""Messages are published in order, many at once, and again after a failure, without growing for ever."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from realtime.bridge import outbox as module
from realtime.bridge.outbox import RETRY_WINDOW, Outbox
from realtime.codes import RedisReplyError
from realtime.layer import Published
from tests.unit.realtime.bridge.jobs import FakeLayer, Outcomes, make_job, until


class Desk:
    """An outbox with its Redis, its permission and what became of its jobs."""

    def __init__(self, *, trust_persistence: bool = False) -> None:
        layer: Any = FakeLayer()
        self.redis = layer.only
        self.permitted = True
        self.outcomes = Outcomes()
        self.outbox = Outbox(layer, lambda: self.permitted, trust_persistence=trust_persistence)

    def submit(self, *numbers: int, **values: Any) -> None:
        for number in numbers:
            self.outbox.submit(make_job(number, self.outcomes, **({"received": time.monotonic()} | values)))


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    yield desk
    await desk.outbox.close()


async def test_messages_are_sent_at_once_without_waiting_for_answers(desk: Desk):
    desk.submit(1, 2, 3)
    assert desk.redis.sent == ["m1", "m2", "m3"]
    assert (desk.outbox.count, desk.outcomes) == (3, [])
    desk.redis.answer(3)
    assert [name for name, result in desk.outcomes if isinstance(result, Published)] == ["m1", "m2", "m3"]
    assert (desk.outbox.count, desk.outbox.size, desk.outbox.oldest()) == (0, 0, None)


async def test_what_was_lost_is_sent_again_in_order_before_what_came_later(desk: Desk):
    desk.submit(1, 2, 3)
    desk.redis.answer(1)
    desk.redis.lose()
    desk.submit(4, 5)
    desk.redis.sent.clear()
    desk.redis.come_back()
    await until(lambda: len(desk.redis.sent) == 4)
    assert desk.redis.sent == ["m2", "m3", "m4", "m5"]


async def test_a_message_whose_fate_is_open_is_not_sent_again_to_a_redis_that_lost_its_memory(desk: Desk):
    desk.submit(1)
    desk.redis.lose(run_id="run-2")
    desk.submit(2)
    desk.redis.come_back()
    await until(lambda: desk.redis.sent == ["m1", "m2"])
    assert desk.outcomes == [("m1", "restarted")]


async def test_it_is_sent_again_to_a_redis_whose_persistence_is_trusted():
    desk = Desk(trust_persistence=True)
    desk.submit(1)
    desk.redis.lose(run_id="run-2")
    desk.redis.come_back()
    await until(lambda: desk.redis.sent == ["m1", "m1"])
    await desk.outbox.close()


async def test_a_message_that_redis_refuses_again_and_again_is_given_up(desk: Desk, monkeypatch):
    monkeypatch.setattr(module, "_ERROR_PAUSE", 0.001)
    desk.submit(1)
    for _ in range(module.MAX_TRIES):
        await until(lambda: desk.redis.asked)
        desk.redis.answer(reply=RedisReplyError("OOM"))
    await until(lambda: desk.outcomes)
    assert desk.outcomes == [("m1", "redis")]


async def test_nothing_is_sent_without_permission(desk: Desk):
    desk.permitted = False
    desk.submit(1, 2)
    assert desk.redis.sent == []
    desk.permitted = True
    desk.outbox.resume()
    await until(lambda: desk.redis.sent == ["m1", "m2"])


async def test_a_retry_needs_permission_too(desk: Desk):
    desk.submit(1)
    desk.permitted = False
    desk.redis.lose()
    desk.redis.come_back()
    await until(lambda: True)
    assert desk.redis.sent == ["m1"]
    assert [job.routed.message_id for job in desk.outbox.surrender()] == ["m1"]
    assert desk.outbox.count == 0


async def test_a_buffer_that_is_put_first_goes_out_before_what_waits(desk: Desk):
    desk.permitted = False
    desk.submit(3, 4)
    desk.outbox.put_first([make_job(1), make_job(2)])
    desk.permitted = True
    desk.outbox.resume()
    await until(lambda: desk.redis.sent == ["m1", "m2", "m3", "m4"])


async def test_memory_is_bounded_in_number_and_bytes(desk: Desk, monkeypatch):
    monkeypatch.setattr(module, "MAX_JOBS", 2)
    desk.submit(1, 2, 3)
    assert desk.outcomes == [("m3", "overflow")]
    desk.redis.answer(2)
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    desk.submit(4, text=b"x" * 2000)
    desk.submit(5)
    assert desk.outcomes[-1] == ("m5", "overflow")


async def test_only_ids_that_a_later_delivery_repeats_are_remembered_for_long(desk: Desk):
    desk.submit(1, id_given=True)
    desk.submit(2, id_given=False)
    desk.submit(3, id_given=False, source="stream")
    assert [window for _, _, window in desk.redis.asked] == [None, RETRY_WINDOW, None]


async def test_a_filled_in_id_is_not_retried_after_its_memory_is_gone(desk: Desk, monkeypatch):
    desk.submit(1, id_given=False)
    monkeypatch.setattr(module, "_LAST_RETRY", -1.0)
    desk.redis.lose()
    desk.redis.come_back()
    await until(lambda: desk.outcomes == [("m1", "expired")])


async def test_a_durable_message_never_waits_and_fails_at_once(desk: Desk):
    desk.submit(1, source="stream")
    desk.redis.lose()
    assert desk.outcomes == [("m1", "unavailable")]
    desk.submit(2, source="stream")
    assert desk.outcomes[-1] == ("m2", "unavailable")
    assert desk.outbox.count == 0
    assert not desk.outbox.flowing


async def test_drain_waits_for_the_last_answer(desk: Desk):
    assert await desk.outbox.drain(0.01)
    desk.submit(1)
    assert not await desk.outbox.drain(0.01)
    desk.redis.answer(1)
    assert await desk.outbox.drain(0.01)


async def test_the_oldest_message_is_found_wherever_it_is(desk: Desk):
    first = time.monotonic() - 5
    desk.submit(1, received=first)
    desk.submit(2, received=first + 1)
    assert desk.outbox.oldest() == first
    desk.redis.answer(1)
    assert desk.outbox.oldest() == first + 1
    desk.permitted = False
    desk.redis.lose()
    assert desk.outbox.oldest() == first + 1
