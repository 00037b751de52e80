"""Messages for users who are away reach the store in batches, in order, and none goes unnoticed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from django.db import OperationalError

from realtime import offline
from realtime.codes import Unavailable
from realtime.conf import RealtimeSettings
from realtime.offline import OfflineWriter
from realtime.registry import OfflineMessage, register_offline_store

CONF = RealtimeSettings(offline_flush=0.01)


class Store:
    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.failures: list[Exception] = []
        self.rejected: set[str] = set()

    def store(self, messages):
        if self.failures:
            raise self.failures.pop(0)
        ids = [message.message_id for message in messages]
        if self.rejected & set(ids):
            raise ValueError("no such character")
        self.batches.append(ids)

    def pending(self, user_ids):
        return {}

    def mark_delivered(self, messages):
        pass

    @property
    def stored(self) -> list[str]:
        return [message_id for batch in self.batches for message_id in batch]


class Layer:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.failures = 0

    async def group_send(self, group, message):
        if self.failures:
            self.failures -= 1
            raise Unavailable("away")
        self.sent.append((group, message["type"]))


@pytest.fixture
def store() -> Iterator[Store]:
    kept = Store()
    register_offline_store(kept)
    yield kept
    register_offline_store(None)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(offline, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(offline, "_UNTOLD_PAUSE", 0.01)


def message(number: int, user_id: str = "u1") -> OfflineMessage:
    return OfflineMessage(user_id=user_id, message_id=f"m{number}", type="chat", text="{}", accepted_at=1.0)


async def test_messages_are_stored_in_the_order_they_were_added_and_in_few_batches(store):
    writer = OfflineWriter(Layer(), conf=CONF)
    for number in range(700):
        writer.add(message(number))
    assert await writer.drain(5)
    assert store.stored == [f"m{number}" for number in range(700)]
    assert len(store.batches) == 2
    await writer.close()


async def test_the_users_groups_are_told_once_per_batch_after_the_commit(store):
    layer = Layer()
    writer = OfflineWriter(layer, conf=CONF)
    writer.add(message(1, "a"))
    writer.add(message(2, "b"))
    writer.add(message(3, "a"))
    assert await writer.drain(5)
    assert sorted(layer.sent) == [("user.a", "realtime.pending"), ("user.b", "realtime.pending")]
    await writer.close()


async def test_a_user_who_could_not_be_told_is_told_when_redis_is_back(store):
    layer = Layer()
    layer.failures = 2
    writer = OfflineWriter(layer, conf=CONF)
    writer.add(message(1, "a"))
    await writer.drain(5)
    assert layer.sent == [("user.a", "realtime.pending")]
    assert store.stored == ["m1"]
    await writer.close()


async def test_done_is_called_only_when_the_message_is_committed(store):
    store.failures = [OperationalError("database is locked")] * 3
    writer = OfflineWriter(Layer(), conf=CONF)
    done = asyncio.Event()
    writer.add(message(1), done.set)
    await asyncio.wait_for(done.wait(), 5)
    assert store.stored == ["m1"]
    assert len(writer) == 0
    assert writer.oldest() is None
    await writer.close()


async def test_a_message_the_store_rejects_takes_no_other_with_it(store):
    store.rejected = {"m1"}
    lost = []
    writer = OfflineWriter(Layer(), conf=CONF, on_lost=lambda kept, reason: lost.append((kept.message_id, reason)))
    for number in range(3):
        writer.add(message(number))
    assert await writer.drain(5)
    assert store.stored == ["m0", "m2"]
    assert lost == [("m1", "rejected")]
    await writer.close()


async def test_a_database_that_stays_away_ends_in_a_lost_message(store, monkeypatch):
    monkeypatch.setattr(offline, "MAX_AGE", 0.05)
    store.failures = [OperationalError("gone")] * 100
    lost = []
    writer = OfflineWriter(Layer(), conf=CONF, on_lost=lambda kept, reason: lost.append((kept.message_id, reason)))
    writer.add(message(1))
    await writer.drain(5)
    assert lost == [("m1", "database")]
    await writer.close()


async def test_memory_is_bounded_while_the_database_is_away(store, monkeypatch):
    monkeypatch.setattr(offline, "MAX_WAITING", 3)
    lost = []
    writer = OfflineWriter(Layer(), conf=CONF, on_lost=lambda kept, reason: lost.append((kept.message_id, reason)))
    for number in range(5):
        writer.add(message(number))
    assert lost == [("m3", "overflow"), ("m4", "overflow")]
    assert await writer.drain(5)
    await writer.close()


async def test_without_a_store_nothing_is_wanted_and_nothing_waits():
    writer = OfflineWriter(Layer(), conf=CONF)
    done = []
    writer.add(message(1), lambda: done.append(1))
    assert done == [1]
    assert not writer.wants("u1", "chat")
    await writer.close()


async def test_only_the_types_of_the_setting_are_wanted_and_only_for_a_user(store):
    writer = OfflineWriter(Layer(), conf=CONF)
    assert writer.wants("u1", "chat")
    assert writer.wants("u1", "notification")
    assert not writer.wants("u1", "data_update")
    assert not writer.wants(None, "chat")


async def test_what_waits_at_the_end_is_told_as_lost(store):
    store.failures = [OperationalError("gone")] * 100
    lost = []
    writer = OfflineWriter(Layer(), conf=CONF, on_lost=lambda kept, reason: lost.append(kept.message_id))
    writer.add(message(1))
    assert not await writer.drain(0.05)
    await writer.close()
    assert lost == ["m1"]
