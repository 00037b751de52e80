"""Notifications end to end: a service, Redis, bridge, gateway, devices, the database and the REST API."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from notifications import NotificationClient
from tests.integration.postgres import Postgres
from tests.integration.programs import manage, passing_environment, wait_until
from tests.integration.stack import Stack, make_token, production_environment

API = "/api/v1/notifications/"


@pytest.fixture
def user() -> str:
    """Give a user id nobody else uses."""
    return f"user-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def client(stack: Stack) -> Iterator[NotificationClient]:
    with NotificationClient(stack.redis_url) as made:
        yield made


@contextmanager
def device(stack: Stack, user: str) -> Iterator[ClientConnection]:
    """Connect one device and read its welcome."""
    with connect(stack.ws(user)) as socket:
        assert json.loads(socket.recv(timeout=10))["type"] == "welcome"
        yield socket


def next_of(socket: ClientConnection, *types: str) -> dict[str, Any]:
    """Return the next message of one of these types."""
    while True:
        message: dict[str, Any] = json.loads(socket.recv(timeout=20))
        if message["type"] in types:
            return message


def until_pong(socket: ClientConnection) -> list[dict[str, Any]]:
    """Return the stored messages that came before the answer to a ping; nothing more was on its way then."""
    socket.send('{"type": "ping"}')
    found = []
    while (message := json.loads(socket.recv(timeout=20)))["type"] != "pong":
        if message["type"] in ("notification", "chat"):
            found.append(message)
    return found


def call(stack: Stack, user: str, path: str = "", body: Any = None, **claims: Any) -> Any:
    headers = {"Authorization": f"Bearer {make_token(user, **claims)}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{stack.url}{API}{path}", data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def listed(stack: Stack, user: str) -> list[str]:
    return [row["id"] for row in call(stack, user)["results"]]


def test_a_notification_reaches_every_device_of_its_user_and_nobody_else(stack, client, user):
    with device(stack, user) as phone, device(stack, user) as desk, device(stack, f"{user}-other") as other:
        sent = client.send_notification(user, "Paid", "Order 7", link="/orders/7")
        for socket in (phone, desk):
            message = next_of(socket, "notification")
            assert message["id"] == sent
            assert message["to"] == user
            assert message["content"] == {"title": "Paid", "body": "Order 7", "link": "/orders/7"}
            assert (message["data"]["notification_id"], message["data"]["read"]) == (sent, False)
        assert until_pong(other) == []


@pytest.mark.parametrize("durable", [False, True])
def test_every_kind_of_message_arrives_by_either_way(stack, client, user, durable):
    room = f"chat:{user}"
    with device(stack, user) as socket:
        socket.send(json.dumps({"type": "join_room", "id": "j", "content": room}))
        next_of(socket, "ack")
        client.send_to_room(room, {"n": 1}, from_="7", durable=durable)
        message = next_of(socket, "room_message")
        assert (message["room"], message["content"], message["from"]) == (room, {"n": 1}, "7")
        client.send_message(user, "hi", durable=durable)
        assert next_of(socket, "chat")["content"] == "hi"
        client.broadcast_notification("All", user, durable=durable)
        while next_of(socket, "notification")["content"] != {"title": "All", "body": user}:
            pass
        client.broadcast_message({"for": user}, type="system", durable=durable)
        while next_of(socket, "system")["content"] != {"for": user}:
            pass
        client.broadcast_data_update("order", "paid", id=user, durable=durable)
        while next_of(socket, "data_update")["content"] != {"entity": "order", "action": "paid", "id": user}:
            pass


def test_the_same_id_over_both_ways_is_delivered_once(stack, client, user):
    with device(stack, user) as socket:
        for durable in (False, True, True, False):
            client.send_notification(user, "a", "b", id=f"{user}-once", durable=durable)
        client.send_notification(user, "last", "b", durable=True)
        client.send_notification(user, "last", "b")
        titles = [next_of(socket, "notification")["content"]["title"] for _ in range(3)]
    assert sorted(titles) == ["a", "last", "last"]


def test_who_is_online_is_seen_by_other_services(stack, client, user):
    assert not client.is_user_online(user)
    with device(stack, user):
        wait_until(lambda: client.is_user_online(user), "the user is online")
        assert user in client.get_online_users()
    wait_until(lambda: not client.is_user_online(user), "the user is offline")


def test_what_came_while_the_user_was_away_arrives_once_in_order_and_is_listed(stack, client, user):
    ids = [f"{user}-{n}" for n in range(20)]
    client.send_many([{"user_id": user, "title": "a", "body": "b", "id": i} for i in ids])
    client.send_message(user, "hello", id=f"{user}-chat", from_="7")
    ids.append(f"{user}-chat")
    wait_until(lambda: len(listed(stack, user)) == 21, "the messages are stored")
    with device(stack, user) as socket:
        assert [next_of(socket, "notification", "chat")["id"] for _ in ids] == ids
        assert until_pong(socket) == []
    wait_delivered(stack, user)
    with device(stack, user) as socket:
        client.send_notification(user, "live", "b", id=f"{user}-live")
        assert next_of(socket, "notification", "chat")["id"] == f"{user}-live"
    assert call(stack, user, "unread-count/") == {"unread": 21}


def wait_delivered(stack: Stack, user: str) -> None:
    wait_until(lambda: all(row["delivered_at"] for row in call(stack, user)["results"]), "marked as delivered")


def test_a_backlog_larger_than_any_buffer_arrives_whole_in_order_and_once(stack, client, user):
    ids = [f"{user}-{n}" for n in range(5000)]
    for start in range(0, 5000, 500):
        some = ids[start : start + 500]
        client.send_many([{"user_id": user, "title": "a", "body": "b" * 1000, "id": i} for i in some])
    wait_until(lambda: call(stack, user, "unread-count/") == {"unread": 5000}, "the messages are stored")
    with device(stack, user) as socket:
        assert [next_of(socket, "notification")["id"] for _ in ids] == ids
        assert until_pong(socket) == []
    wait_until(lambda: call(stack, user, "?page_size=1")["results"][0]["delivered_at"], "the last is marked")
    with device(stack, user) as socket:
        assert until_pong(socket) == []


def notify_from_django(stack: Stack, user: str) -> None:
    call = f"notify({user!r}, 'From Django', 'body', id={user!r} + '-n')"
    stack.manage("shell", "--no-imports", "-c", f"from notifications.services import notify; {call}")


def test_a_stored_notification_that_was_delivered_live_does_not_come_again(stack, user):
    with device(stack, user) as socket:
        notify_from_django(stack, user)
        assert next_of(socket, "notification")["id"] == f"{user}-n"
    assert listed(stack, user) == [f"{user}-n"]
    with device(stack, user) as socket:
        assert until_pong(socket) == []


def test_a_stored_notification_to_a_user_who_is_away_arrives_at_the_next_connect_once(stack, user):
    notify_from_django(stack, user)
    with device(stack, user) as socket:
        assert next_of(socket, "notification")["id"] == f"{user}-n"
        assert until_pong(socket) == []
    assert listed(stack, user) == [f"{user}-n"]
    wait_delivered(stack, user)
    with device(stack, user) as socket:
        assert until_pong(socket) == []


def test_reading_on_one_device_is_told_to_the_other(stack, client, user):
    client.send_notification(user, "a", "b", id=f"{user}-1")
    client.send_notification(user, "a", "b", id=f"{user}-2")
    wait_until(lambda: len(listed(stack, user)) == 2, "the messages are stored")
    with device(stack, user) as desk:
        call(stack, user, f"{user}-1/read/", {})
        assert next_of(desk, "data_update")["content"] == {
            "entity": "notification",
            "action": "read",
            "data": {"ids": [f"{user}-1"], "unread": 1},
        }
        call(stack, user, "read-all/", {})
        assert next_of(desk, "data_update")["content"]["action"] == "read_all"


def test_staff_send_over_http(stack, user):
    staff: dict[str, Any] = {"is_staff": True}
    with device(stack, user) as socket:
        sent = call(stack, "boss", "send/user/", {"user_id": user, "title": "Hi", "body": "b"}, **staff)
        assert next_of(socket, "notification")["id"] == sent["id"]
    assert listed(stack, user) == [sent["id"]]


def test_a_plain_python_service_needs_only_the_redis_url(stack, user):
    send = f"notifications.send_notification({user!r}, 'a', 'b')"
    code = f"import notifications, sys; print({send}); print('django' in sys.modules)"
    with device(stack, user) as socket:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**passing_environment(), "REDIS_URL": stack.redis_url},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == [next_of(socket, "notification")["id"], "False"]


ON_POSTGRESQL = """
import json, threading
from django.db import connection
from notifications.models import StoredMessage
from notifications.offline import DatabaseOfflineStore
from notifications.services import notify
from realtime.registry import OfflineMessage

store = DatabaseOfflineStore()
def away(user, name, at=1.0):
    text = json.dumps({"type": "chat", "content": "\\0 ü", "data": {}})
    return OfflineMessage(user_id=user, message_id=name, type="chat", text=text, accepted_at=at)

batch = [away(f"u{n % 10}", f"m{n}", 1.0 + n) for n in range(300)] + [away("ü" * 512, "\U0001f600" * 512)]
def work():
    try:
        store.store(batch)
    finally:
        connection.close()
threads = [threading.Thread(target=work) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
rows = StoredMessage.objects.count()
ordered = [m.message_id for m in store.pending(["u3"])["u3"]] == [f"m{n}" for n in range(3, 300, 10)]
store.mark_delivered(batch)
store.store(batch)
print(json.dumps({"vendor": connection.vendor, "rows": rows, "ordered": ordered, "left": store.pending(["u3"])}))
"""


def test_many_writers_keep_each_message_once_on_postgresql(postgres: Postgres):
    env = production_environment(DATABASE_URL=postgres.database_url)
    manage("migrate", "--verbosity", "0", env=env)
    told = json.loads(manage("shell", "--no-imports", "-c", ON_POSTGRESQL, env=env).splitlines()[-1])
    assert told == {"vendor": "postgresql", "rows": 301, "ordered": True, "left": {}}
