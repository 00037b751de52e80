"""Stored messages come once per device, before live ones, and never hold those up for long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from realtime.connection import Connection
from realtime.pending import PendingReader
from realtime.registry import OfflineMessage, offline_store, register_offline_store
from realtime.sockets import Cork
from tests.unit.realtime.conftest import eventually
from tests.unit.realtime.doubles import RecordingSocket, make_connection


class Store:
    """Keeps messages in memory; a portion at a time."""

    def __init__(self) -> None:
        self.kept: list[OfflineMessage] = []
        self.reads: list[list[str]] = []
        self.portion = 1000
        self.failing = False
        self.gate = threading.Event()
        self.gate.set()

    def put(self, user_id: str, *ids: str) -> None:
        self.kept += [
            OfflineMessage(user_id=user_id, message_id=i, type="chat", text=f'{{"id":"{i}"}}', accepted_at=time.time())
            for i in ids
        ]

    def store(self, messages: Any) -> None:
        raise NotImplementedError

    def pending(self, user_ids: Any) -> Any:
        self.gate.wait(10)
        if self.failing:
            raise RuntimeError("the database is away")
        self.reads.append(list(user_ids))
        return {u: [m for m in self.kept if m.user_id == u][: self.portion] for u in user_ids}

    def mark_delivered(self, messages: Any) -> None:
        self.kept = [message for message in self.kept if message not in list(messages)]


@pytest.fixture
def store() -> Iterator[Store]:
    before = offline_store()
    made = Store()
    register_offline_store(made)
    yield made
    made.gate.set()
    register_offline_store(before)


def release(connection: Connection, only: object = None) -> None:
    cork = connection.socket
    if isinstance(cork, Cork) and (only is None or cork is only):
        connection.socket = cork.socket
        for frame in cork.frames:
            connection.socket.send_frame(frame)


@pytest.fixture
async def reader() -> PendingReader:
    return PendingReader(release)


def corked(user_id: str = "7") -> Connection:
    connection = make_connection(user_id)
    connection.socket = Cork(connection.socket, 1_000_000)
    return connection


def make_slow(connection: Connection) -> RecordingSocket:
    cork = connection.socket
    assert isinstance(cork, Cork)
    assert isinstance(cork.socket, RecordingSocket)
    cork.socket.buffered_bytes = 1
    return cork.socket


def ids(connection: Connection) -> list[str]:
    socket = connection.socket.socket if isinstance(connection.socket, Cork) else connection.socket
    assert isinstance(socket, RecordingSocket)
    return [message["id"] for message in socket.messages]


def is_open(connection: Connection) -> bool:
    return not isinstance(connection.socket, Cork)


async def test_stored_messages_come_before_live_ones_in_their_order(reader, store):
    store.put("7", "a", "b")
    client = corked()
    client.send(b'{"id":"live"}')
    reader.deliver(client)
    await eventually(lambda: is_open(client))
    assert ids(client) == ["a", "b", "live"]
    assert store.kept == []


async def test_many_connects_share_a_read(reader, store):
    clients = [corked(str(n)) for n in range(50)]
    for n, client in enumerate(clients):
        store.put(str(n), f"m{n}")
        reader.deliver(client)
    await eventually(lambda: all(map(is_open, clients)))
    assert [ids(client) for client in clients] == [[f"m{n}"] for n in range(50)]
    assert len(store.reads) <= 3


async def test_what_a_replay_held_already_is_not_sent_but_done_with(reader, store):
    store.put("7", "a", "b")
    client = corked()
    reader.deliver(client, {"a"})
    await eventually(lambda: is_open(client))
    assert ids(client) == ["b"]
    assert store.kept == []


async def test_portions_follow_each_other_until_nothing_is_left(reader, store):
    store.portion = 10
    store.put("7", *[str(n) for n in range(95)])
    client = corked()
    reader.deliver(client)
    await eventually(lambda: is_open(client))
    assert ids(client) == [str(n) for n in range(95)]
    assert store.kept == []


async def test_a_slow_client_gets_its_next_portion_when_it_has_taken_the_last(reader, store):
    store.portion = 10
    store.put("7", *[str(n) for n in range(20)])
    client = corked()
    socket = make_slow(client)
    reader.deliver(client)
    await eventually(lambda: len(ids(client)) == 10)
    await asyncio.sleep(0.1)
    assert len(ids(client)) == 10
    socket.buffered_bytes = 0
    await eventually(lambda: len(ids(client)) == 20)


async def test_a_store_that_fails_lets_live_messages_go(reader, store):
    store.failing = True
    client = corked()
    client.send(b'{"id":"live"}')
    reader.deliver(client)
    await eventually(lambda: ids(client) == ["live"])


async def test_live_messages_do_not_wait_long_for_a_slow_store(reader, store):
    store.gate.clear()
    store.put("7", "late")
    client = corked()
    client.send(b'{"id":"live"}')
    reader.deliver(client)
    await eventually(lambda: ids(client) == ["live"])
    store.gate.set()
    await eventually(lambda: ids(client) == ["live", "late"])


async def test_without_a_store_nothing_waits(reader, without_offline_store):
    client = corked()
    reader.deliver(client)
    assert is_open(client)


async def test_who_has_gone_is_sent_nothing_and_keeps_the_messages(reader, store):
    store.put("7", "a")
    client = corked()
    reader.deliver(client)
    client.closing = True
    await eventually(lambda: store.reads)
    await asyncio.sleep(0.05)
    assert ids(client) == []
    assert [message.message_id for message in store.kept] == ["a"]


async def test_a_second_look_sends_nothing_twice(reader, store):
    store.put("7", "a")
    client = corked()
    reader.deliver(client)
    await eventually(lambda: is_open(client))
    store.put("7", "a", "b")
    reader.deliver(client)
    await eventually(lambda: ids(client) == ["a", "b"])
