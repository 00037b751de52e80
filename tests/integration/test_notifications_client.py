"""The Python client against a real Redis that works, is slow, is silent, goes away and comes back."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync

from ginforge.embedded import EmbeddedValkey, free_port
from notifications import (
    InvalidMessage,
    NotificationClient,
    NotificationError,
    Outgoing,
    RedisRefused,
    RedisUnavailable,
)
from notifications.outgoing import broadcast, notification
from realtime import keys
from tests.integration.programs import wait_until

TIMEOUT = 0.6
GRACE = 5.0
"""For a busy machine; a dripping server would hold a call without a deadline for ever."""


@pytest.fixture
def client(valkey: EmbeddedValkey) -> Iterator[NotificationClient]:
    with NotificationClient(valkey.url) as made:
        yield made


@pytest.fixture
def server(valkey: EmbeddedValkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey.url) as connection:
        yield connection


@pytest.fixture
def heard(server: redis.Redis) -> Iterator[Callable[[], tuple[str, Any]]]:
    """Give a function that returns the next (channel, message) published to the gateway."""
    with server.pubsub() as listener:
        listener.psubscribe(keys.INGRESS_PATTERN)
        assert listener.get_message(timeout=5)

        def next_one() -> tuple[str, Any]:
            message = listener.get_message(timeout=5)
            assert message is not None
            return message["channel"].decode(), json.loads(message["data"])

        yield next_one


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run a TCP server in threads that treats every connection with ``answer``; gives its Redis URL."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        taken: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = door.accept()
                except OSError:
                    return
                taken.append(connection)
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield f"redis://127.0.0.1:{door.getsockname()[1]}/0"
        finally:
            door.shutdown(socket.SHUT_RDWR)
            for connection in taken:
                connection.close()


def silence(connection: socket.socket) -> None:
    """Take everything and answer nothing."""


def drip(connection: socket.socket) -> None:
    """Answer with one byte at a time, each well within a socket timeout."""
    try:
        connection.recv(65536)
        connection.sendall(b"+")
        while True:
            time.sleep(0.2)
            connection.sendall(b"x")
    except OSError:
        pass


async def call_async(client: NotificationClient) -> str:
    try:
        return await client.asend_notification(1, "title", "body")
    finally:
        await client.aclose()


CALLS: list[Callable[[NotificationClient], str]] = [
    lambda client: client.send_notification(1, "title", "body"),
    lambda client: client.send_notification(1, "title", "body", durable=True),
    lambda client: asyncio.run(call_async(client)),
]
each_way = pytest.mark.parametrize("call", CALLS, ids=["blocking", "durable", "asyncio"])


def assert_fails_in_time(call: Callable[[], object]) -> RedisUnavailable:
    start = time.monotonic()
    with pytest.raises(RedisUnavailable) as caught:
        call()
    assert time.monotonic() - start < TIMEOUT + GRACE
    assert isinstance(caught.value, NotificationError)
    return caught.value


# A Redis that works


@each_way
def test_a_message_is_published_and_its_id_returned(client, server, heard, call):
    sent = call(client)
    entries = server.xrange(keys.INGRESS_STREAM)
    if entries:
        fields = entries[0][1]
        channel, message = fields[b"channel"].decode(), json.loads(fields[b"message"])
    else:
        channel, message = heard()
    assert channel == "websocket:notification:1"
    assert message["id"] == sent
    assert message["content"] == {"title": "title", "body": "body"}


def test_the_durable_stream_is_trimmed(valkey, server):
    settings = NotificationClient(valkey.url).settings
    client = NotificationClient(settings=type(settings)(url=valkey.url, ingress_limit=100))
    client.send_many([broadcast(n, durable=True) for n in range(1000)])
    assert 100 <= server.xlen(keys.INGRESS_STREAM) < 400


def test_many_messages_go_in_one_call_and_keep_their_order(client, heard):
    messages = [notification(n, "a", "b", id=f"m{n}") for n in range(50)]
    assert client.send_many(messages) == [f"m{n}" for n in range(50)]
    assert [heard()[1]["id"] for _ in range(50)] == [f"m{n}" for n in range(50)]


async def test_many_messages_in_asyncio_take_mappings_too(valkey, heard):
    async with NotificationClient(valkey.url) as client:
        sent = await client.asend_many([{"user_id": 1, "title": "a", "body": "b"}, notification(2, "a", "b")])
    assert [heard()[1]["id"], heard()[1]["id"]] == sent


def test_none_of_many_is_sent_when_one_is_wrong(client, server):
    with pytest.raises(InvalidMessage):
        client.send_many([{"user_id": n, "title": "a", "body": "b", "durable": True} for n in (1, 2, "")])
    assert not server.exists(keys.INGRESS_STREAM)


def test_nothing_to_send_needs_no_redis():
    client = NotificationClient(f"redis://127.0.0.1:{free_port()}/0")
    assert client.send_many([]) == []
    assert asyncio.run(client.asend_many([])) == []


def test_presence_is_read_from_the_cluster(client, server):
    server.hset(keys.PRESENCE_USERS, mapping={"42": 1, "ünal": 2})
    assert client.is_user_online(42)
    assert not client.is_user_online("43")
    assert client.get_online_users() == ["42", "ünal"]

    async def ask() -> tuple[bool, list[str]]:
        return await client.ais_user_online("ünal"), await client.aget_online_users()

    assert asyncio.run(ask()) == (True, ["42", "ünal"])


def test_a_password_in_the_url_is_used(valkey, server, heard):
    server.config_set("requirepass", "secret")
    url = valkey.url.replace("redis://", "redis://:secret@")
    NotificationClient(url).send_notification(1, "a", "b")
    assert heard()[0] == "websocket:notification:1"
    with pytest.raises(NotificationError) as caught:
        NotificationClient(url.replace("secret", "guess")).send_notification(1, "a", "b")
    assert "guess" not in str(caught.value)


# A Redis that refuses


def test_what_redis_refuses_is_named_without_the_message(client, server):
    server.config_set("maxmemory", "1")
    messages = [notification(1, "my secret", "b", id="kept", durable=True), notification(1, "a", "b", id="sent")]
    with pytest.raises(RedisRefused, match="maxmemory") as caught:
        client.send_many(messages)
    assert caught.value.failed == ("kept",)
    assert "secret" not in str(caught.value)


def test_a_forbidden_command_does_not_quote_its_arguments(valkey, server):
    server.acl_setuser("limited", enabled=True, passwords=["+pw"], commands=["+ping"], channels=["*"])
    url = valkey.url.replace("redis://", "redis://limited:pw@")
    for call in CALLS:
        with pytest.raises(RedisRefused) as caught:
            call(NotificationClient(url))
        assert "body" not in str(caught.value)
    with pytest.raises(RedisRefused):
        NotificationClient(url).get_online_users()


# A Redis that is away


@each_way
def test_a_redis_that_is_down_is_an_error_at_once(call):
    client = NotificationClient(f"redis://127.0.0.1:{free_port()}/0")
    error = assert_fails_in_time(lambda: call(client))
    assert "refused" in str(error).lower() or "connect call failed" in str(error).lower()


@each_way
@pytest.mark.parametrize("behaviour", [silence, drip])
def test_a_redis_that_does_not_answer_is_an_error_in_time(behaviour, call):
    with listening(behaviour) as url:
        client = NotificationClient(url, timeout=TIMEOUT)
        assert_fails_in_time(lambda: call(client))
        assert_fails_in_time(client.get_online_users)
        client.close()


def test_an_address_that_swallows_packets_is_an_error_in_time():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        client = NotificationClient(f"redis://127.0.0.1:{address[1]}/0", connect_timeout=0.2, timeout=TIMEOUT)
        for call in CALLS:
            assert_fails_in_time(lambda call=call: call(client))
        for one in waiting:
            one.close()


@each_way
def test_a_connection_that_went_silent_is_an_error_in_time_and_heals(valkey, call):
    client = NotificationClient(valkey.url, timeout=TIMEOUT)
    assert call(client)
    valkey.freeze()
    assert_fails_in_time(lambda: call(client))
    valkey.thaw()
    assert call(client)
    client.close()


@each_way
def test_sending_goes_on_after_a_restart_of_redis(valkey, client, call):
    assert call(client)
    valkey.kill()
    with pytest.raises(RedisUnavailable):
        call(client)
    valkey.start()
    assert call(client)


async def test_pooled_asyncio_connections_survive_a_restart(valkey):
    async with NotificationClient(valkey.url) as client:
        await asyncio.gather(*(client.asend_notification(n, "a", "b") for n in range(20)))
        valkey.kill()
        valkey.start()
        await asyncio.gather(*(client.asend_notification(n, "a", "b") for n in range(20)))


async def test_a_cancelled_call_leaves_no_answer_behind_for_the_next(valkey, server):
    server.hset(keys.PRESENCE_USERS, "42", 1)
    async with NotificationClient(valkey.url) as client:
        for delay in range(30):
            task = asyncio.create_task(client.asend_notification(1, "a", "b"))
            for _ in range(delay):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert await client.aget_online_users() == ["42"]


def test_no_log_line_holds_a_message(caplog):
    caplog.set_level(logging.DEBUG)
    client = NotificationClient(f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(RedisUnavailable):
        client.send_notification(1, "my secret", "b")
    assert "secret" not in caplog.text


# Threads, processes, event loops


def test_threads_share_one_client(client, heard):
    with ThreadPoolExecutor(16) as threads:
        sent = list(threads.map(lambda n: client.send_notification(n, "a", "b"), range(200)))
    assert len(set(sent)) == 200
    assert {heard()[1]["id"] for _ in range(200)} == set(sent)


def test_more_threads_than_connections_wait_for_their_turn(valkey, server):
    client = NotificationClient(
        settings=type(NotificationClient(valkey.url).settings)(url=valkey.url, max_connections=2)
    )
    with ThreadPoolExecutor(16) as threads:
        assert len(set(threads.map(lambda n: client.send_notification(n, "a", "b"), range(100)))) == 100
    assert len(server.client_list()) <= 3


def test_a_forked_child_has_connections_of_its_own(valkey, client, server):
    client.send_notification(1, "a", "b")
    mine = {entry["id"] for entry in server.client_list()}
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover  # in the child
        try:
            client.send_notification(1, "a", "b", id="from-child", durable=True)
            asyncio.run(client.asend_notification(1, "a", "b", id="from-child-async", durable=True))
            os.write(writer, b"ok")
        finally:
            os._exit(0)
    assert os.read(reader, 2) == b"ok"
    os.waitpid(child, 0)
    client.send_notification(1, "a", "b")
    ids = [json.loads(fields[b"message"])["id"] for _, fields in server.xrange(keys.INGRESS_STREAM)]
    assert ids == ["from-child", "from-child-async"]
    assert {entry["id"] for entry in server.client_list()} == mine


@pytest.mark.filterwarnings("error")
def test_event_loops_that_end_leave_no_connection_behind(valkey, client, server):
    for _ in range(10):
        asyncio.run(client.asend_notification(1, "a", "b"))
        async_to_sync(client.asend_notification)(1, "a", "b")
    gc.collect()
    wait_until(lambda: len(server.client_list()) == 1, "only the test's own connection is left")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_loop_closed_without_ceremony_is_forgotten(valkey, client):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.asend_notification(1, "a", "b"))
    loop.close()

    async def pools() -> int:
        await client.asend_notification(1, "a", "b")
        return len(client._async._pools)

    assert asyncio.run(pools()) == 1
    del loop
    gc.collect()  # so that its warnings fall into this test


def test_a_built_message_can_be_sent_more_than_once(client, heard):
    message: Outgoing = notification(1, "a", "b")
    assert client.publish(message) == client.publish(message) == message.id
    assert heard() == heard()


@pytest.mark.slow
def test_a_connection_idle_for_fifteen_seconds_still_works(valkey):
    client = NotificationClient(valkey.url, timeout=1)

    async def both() -> None:
        await client.asend_notification(1, "a", "b")
        await asyncio.sleep(15.5)
        await client.asend_notification(1, "a", "b")

    client.send_notification(1, "a", "b")
    asyncio.run(both())
    client.send_notification(1, "a", "b")
    client.close()
