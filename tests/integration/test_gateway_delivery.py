"""What other services publish in Redis reaches the right clients, through real processes (DESIGN 2.2, 2.3)."""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import AsyncExitStack

import pytest

from tests.integration.clients import Client
from tests.integration.stack import Stack


def fresh(prefix: str) -> str:
    """Return a name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.mark.contract("2.2", "welcome")
async def test_welcome_is_the_first_frame_and_tells_who_and_where(stack: Stack):
    user = fresh("user")
    async with Client(stack.ws(user)) as client:
        first = client.messages[0]
        assert first["type"] == "welcome"
        assert set(first["content"]) == {"code", "message", "level"}
        assert (first["content"]["code"], first["content"]["level"]) == (0, "info")
        assert {"client_id", "user_id", "server_time", "heartbeat", "node", "streams"} <= set(first["data"])
        assert first["data"]["user_id"] == user
        assert abs(first["data"]["server_time"] - time.time()) < 300
        assert set(first["data"]["streams"]) == {"user", "broadcast"}


@pytest.mark.contract("2.3", "websocket:broadcast")
@pytest.mark.contract("2.2", "data_update")
async def test_scenario_1_a_broadcast_reaches_every_client(stack: Stack):
    mark = fresh("mark")
    async with AsyncExitStack() as opened:
        clients = [await opened.enter_async_context(Client(stack.ws(fresh("u")))) for _ in range(5)]
        message = {"type": "data_update", "content": {"entity": "user", "action": "create", "id": mark}}
        stack.publish("websocket:broadcast", message)
        for client in clients:
            await client.until(lambda c=client: any(m["content"].get("id") == mark for m in c.of_type("data_update")))
            (got,) = [m for m in client.of_type("data_update") if m["content"].get("id") == mark]
            assert got["content"] == {"entity": "user", "action": "create", "id": mark}
            assert isinstance(got["timestamp"], int)
            assert got["data"]["stream"]["name"] == "broadcast"
            assert "from" not in got
            assert got["id"]


@pytest.mark.contract("2.2", "broadcast, system, refresh")
@pytest.mark.parametrize("kind", ["broadcast", "system", "refresh"])
async def test_messages_to_everyone_keep_their_type(stack: Stack, kind: str):
    mark = fresh("mark")
    async with Client(stack.ws(fresh("u"))) as client:
        stack.publish("websocket:broadcast", {"type": kind, "content": mark})
        await client.until(lambda: mark in client.contents(kind), kind)


@pytest.mark.contract("2.3", "websocket:notification:<id>")
@pytest.mark.contract("2.2", "notification")
async def test_scenario_2_a_notification_reaches_both_devices_of_the_user_and_nobody_else(stack: Stack):
    user, other = fresh("user"), fresh("user")
    content = {"title": "Order paid", "body": "Order 7 is paid", "link": "/orders/7", "category": "order"}
    async with Client(stack.ws(user)) as one, Client(stack.ws(user)) as two, Client(stack.ws(other)) as stranger:
        stack.publish(f"websocket:notification:{user}", {"content": content, "data": {"order": 7}})
        for device in (one, two):
            (got,) = await device.wait_for("notification")
            assert got["content"] == content
            assert got["to"] == user
            assert (got["data"]["notification_id"], got["data"]["read"]) == (got["id"], False)
            assert got["data"]["order"] == 7
        assert one.of_type("notification") == two.of_type("notification")
        stack.publish(f"websocket:user:{other}", {"type": "system", "content": "end"})
        await stranger.wait_for("system")
        assert stranger.of_type("notification") == []


@pytest.mark.contract("2.3", "websocket:user:<id>")
async def test_a_message_to_a_user_keeps_what_the_publisher_gave(stack: Stack):
    user = fresh("user")
    async with Client(stack.ws(user)) as client:
        stack.publish(
            f"websocket:user:{user}",
            {"message": {"type": "system", "id": "m-1", "from": "billing", "from_name": "Billing", "content": [1],
                         "timestamp": 1_700_000_000_123, "to": "someone else"}},
        )  # fmt: skip
        (got,) = await client.wait_for("system")
        assert (got["id"], got["from"], got["from_name"], got["to"]) == ("m-1", "billing", "Billing", user)
        assert (got["content"], got["timestamp"]) == ([1], 1_700_000_000)


@pytest.mark.contract("2.3", "websocket:room:<room>")
@pytest.mark.contract("2.2", "join_room, leave_room")
@pytest.mark.contract("2.2", "room_message")
async def test_scenario_3_a_room_hears_its_members_and_other_services(stack: Stack):
    room = f"chat:{fresh('room')}"
    ann, bob, eve = fresh("ann"), fresh("bob"), fresh("eve")
    async with Client(stack.ws(ann, username="Ann")) as one, Client(stack.ws(bob)) as two, Client(stack.ws(eve)) as out:
        joined = await one.ask(type="join_room", content=room)
        assert joined["content"]["room"] == room
        assert set(joined["content"]["stream"]) == {"name", "epoch", "offset"}
        await two.join(room)
        forged = {"from": "root", "from_name": "Root", "timestamp": 1}
        assert (await one.ask(type="room_message", room=room, content="hi", **forged))["type"] == "ack"
        stack.publish(f"websocket:room:{room}", {"type": "system", "content": "from a service"})
        for member in (one, two):
            (message,) = await member.wait_for("room_message")
            assert (message["room"], message["content"]) == (room, "hi")
            assert (message["from"], message["from_name"], message["timestamp"] > 1) == (ann, "Ann", True)
            (service,) = await member.wait_for("system")
            assert service["room"] == room
        assert (await out.ask(type="room_message", room=room, content="x"))["content"]["code"] == 403
        assert (await two.ask(type="leave_room", content=room))["type"] == "ack"
        assert (await two.ask(type="room_message", room=room, content="x"))["content"]["code"] == 403
        await one.ask(type="room_message", room=room, content="last")
        await one.wait_for("room_message", 2)
        assert out.of_type("room_message", "system") == []
        assert two.contents("room_message") == ["hi"]


@pytest.mark.contract("2.2", "chat")
async def test_chat_reaches_every_device_with_the_senders_real_identity(stack: Stack):
    ann, bob = fresh("ann"), fresh("bob")
    async with (
        Client(stack.ws(ann, username="Ann")) as one,
        Client(stack.ws(bob)) as two,
        Client(stack.ws(bob)) as three,
    ):
        forged = {"from": "root", "from_name": "Root", "timestamp": 1}
        await one.ask(type="chat", to=bob, content={"text": "hi"}, id="c1", **forged)
        for device in (two, three):
            (got,) = await device.wait_for("chat")
            assert (got["from"], got["from_name"], got["to"], got["id"]) == (ann, "Ann", bob, "c1")
            assert got["content"] == {"text": "hi"}
            assert abs(got["timestamp"] - time.time()) < 300


@pytest.mark.contract("2.2", "user_status")
async def test_online_and_offline_are_told_once_for_all_devices(own_stack: Stack):
    watcher_id, user = fresh("watcher"), fresh("user")

    def heard(client: Client) -> list[str]:
        return [c["status"] for c in client.contents("user_status") if c["user_id"] == user]

    async with Client(own_stack.ws(watcher_id)) as watcher:
        await watcher.until(lambda: any(c["user_id"] == watcher_id for c in watcher.contents("user_status")), "itself")
        async with Client(own_stack.ws(user, username="Bob")):
            await watcher.until(lambda: heard(watcher) == ["online"])
            async with Client(own_stack.ws(user)):
                pass
        await watcher.until(lambda: heard(watcher) == ["online", "offline"])
        (status, _) = [m for m in watcher.of_type("user_status") if m["content"]["user_id"] == user]
        assert status["content"] == {"user_id": user, "user_name": "Bob", "status": "online"}
        assert isinstance(status["timestamp"], int)


async def test_five_hundred_messages_to_one_user_arrive_in_order_on_both_devices(stack: Stack):
    user = fresh("user")
    async with Client(stack.ws(user)) as one, Client(stack.ws(user)) as two:
        with stack.redis() as redis:
            for number in range(500):
                redis.publish(f"websocket:user:{user}", b'{"type":"system","content":%d}' % number)
        for device in (one, two):
            await device.wait_for("system", 500)
            assert device.contents("system") == list(range(500))
            assert [m["data"]["stream"]["offset"] for m in device.of_type("system")] == list(range(1, 501))


async def test_delivery_is_the_same_on_whichever_gateway_a_client_sits(start_stack):
    stack: Stack = start_stack(gateways=2, bridges=1)
    user, room = fresh("user"), fresh("room")
    near, far = stack.gateways
    async with Client(near.ws(user)) as one, Client(far.ws(user)) as two, Client(far.ws(fresh("other"))) as three:
        for client in (one, two, three):
            await client.join(room)
        stack.publish(f"websocket:user:{user}", {"type": "system", "content": "u"})
        await three.ask(type="chat", to=user, content="c")
        await one.ask(type="room_message", room=room, content="r")
        stack.publish("websocket:broadcast", {"type": "refresh", "content": "b"})
        for client in (one, two, three):
            await client.until(lambda c=client: c.contents("room_message") == ["r"] and c.contents("refresh") == ["b"])
        for device in (one, two):
            await device.until(lambda d=device: d.contents("system") == ["u"] and d.contents("chat") == ["c"])
        assert three.of_type("system", "chat") == []
        assert one.messages[0]["data"]["node"] != two.messages[0]["data"]["node"]


async def test_the_same_id_published_twice_is_delivered_once(stack: Stack):
    user = fresh("user")
    async with Client(stack.ws(user)) as client:
        for content in ("first", "second"):
            stack.publish(f"websocket:user:{user}", {"type": "system", "id": "same", "content": content})
        stack.publish(f"websocket:user:{user}", {"type": "refresh", "content": "end"})
        await client.wait_for("refresh")
        assert client.contents("system") == ["first"]


async def test_bad_payloads_in_redis_are_survived(stack: Stack):
    user = fresh("user")
    bad = [
        b"",
        b"not json",
        b"{}",
        b"[]",
        b'{"message":null}',
        b'{"content":1}',
        b'{"type":"x","content":NaN}',
        b'{"type":"x","content":1e999}',
        b'{"type":"x","content":"' + b"x" * 2_000_000 + b'"}',
        b'{"type":"x","content":' + b"[" * 2000 + b"]" * 2000 + b"}",
        b'{"type":"x","content":' + b"9" * 5000 + b"}",
        rb'{"type":"x","content":"\ud800"}',
    ]
    async with Client(stack.ws(user)) as client:
        for payload in bad:
            stack.publish(f"websocket:user:{user}", payload)
        stack.publish(f"websocket:user:{user}", {"type": "refresh", "content": "end"})
        await client.wait_for("refresh")
        assert {m["type"] for m in client.messages} <= {"welcome", "refresh", "user_status", "data_update"}


async def test_a_large_message_published_in_redis_is_delivered(stack: Stack):
    user, text = fresh("user"), "日" * 330_000
    async with Client(stack.ws(user)) as client:
        stack.publish(f"websocket:user:{user}", {"type": "system", "content": text})
        (got,) = await client.wait_for("system")
        assert got["content"] == text


async def test_many_clients_talk_at_once_and_every_room_stays_its_own(stack: Stack):
    rooms = [fresh("room") for _ in range(10)]
    async with AsyncExitStack() as opened:
        clients = [await opened.enter_async_context(Client(stack.ws(fresh("u")))) for _ in range(40)]
        await asyncio.gather(*[client.join(rooms[n % 10]) for n, client in enumerate(clients)])
        await asyncio.gather(*[
            client.send(type="room_message", room=rooms[n % 10], content=[n, k])
            for n, client in enumerate(clients) for k in range(20)
        ])  # fmt: skip
        for n, client in enumerate(clients):
            await client.wait_for("room_message", 80)
            got = client.contents("room_message")
            assert {sender % 10 for sender, _ in got} == {n % 10}
            for sender in {s for s, _ in got}:
                assert [k for s, k in got if s == sender] == list(range(20))
