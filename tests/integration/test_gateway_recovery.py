"""What a client misses comes back: offline messages, resume, and a Redis that goes away (DESIGN 2.5)."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from tests.integration.clients import Client
from tests.integration.programs import wait_until
from tests.integration.stack import Stack, get


def fresh(prefix: str) -> str:
    """Return a name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def publish_many(stack: Stack, channel: str, numbers: range) -> None:
    with stack.redis() as redis:
        for number in numbers:
            redis.publish(channel, b'{"type":"system","content":%d}' % number)


def top(stack: Stack, group: str) -> int:
    """Return the last offset of a stream in Redis."""
    with stack.redis() as redis:
        return int(redis.hget(f"ginforge:{{{group}}}:meta", "o") or 0)


# Away and back


async def test_chat_for_a_user_who_is_away_comes_at_the_next_connect_and_only_once(stack: Stack):
    ann, bob = fresh("ann"), fresh("bob")
    async with Client(stack.ws(ann)) as sender:
        for number in range(5):
            assert (await sender.ask(type="chat", to=bob, content=number))["type"] == "ack"
    for number in range(5, 10):
        stack.publish(f"websocket:notification:{bob}", {"content": {"title": "n", "body": str(number)}})
    wait_until(lambda: top(stack, f"user.{bob}") == 10, "the messages")
    async with Client(stack.ws(bob)) as client:
        await client.until(lambda: len(client.of_type("chat", "notification")) == 10)
        assert client.messages[0]["type"] == "welcome"
        assert client.contents("chat") == list(range(5))
        assert [c["body"] for c in client.contents("notification")] == [str(n) for n in range(5, 10)]
    async with Client(stack.ws(bob)) as again, Client(stack.ws(ann)) as sender:
        await sender.ask(type="chat", to=bob, content="live")
        await again.wait_for("chat")
        assert again.contents("chat", "notification") == ["live"]


# Resume


@pytest.mark.contract("2.2", "resume, resumed")
async def test_fifty_messages_on_each_stream_come_back_in_order_once_and_then_live(stack: Stack):
    user, room = fresh("user"), fresh("room")
    async with Client(stack.ws(user)) as client:
        positions = dict(client.streams)
        positions[f"room:{room}"] = await client.join(room)
        stack.publish(f"websocket:user:{user}", {"type": "refresh", "content": "seen"})
        await client.wait_for("refresh")
        positions["user"] = client.last_positions()["user"]
    before = {
        "user": top(stack, f"user.{user}"),
        "broadcast": top(stack, "broadcast"),
        f"room:{room}": top(stack, f"room.{room}"),
    }
    for channel in (f"user:{user}", "broadcast", f"room:{room}"):
        publish_many(stack, f"websocket:{channel}", range(50))
    wait_until(lambda: top(stack, f"room.{room}") == before[f"room:{room}"] + 50, "the messages")
    async with Client(stack.ws(user) + "&resume=1") as client:
        publish_many(stack, f"websocket:room:{room}", range(50, 60))
        await client.send(type="resume", id="r", content={"streams": positions})
        (resumed,) = await client.wait_for("resumed")
        publish_many(stack, f"websocket:room:{room}", range(60, 70))
        publish_many(stack, f"websocket:user:{user}", range(50, 51))
        streams = resumed["content"]["streams"]
        assert all(streams[name]["recovered"] for name in positions)
        assert (streams["user"]["count"], streams[f"room:{room}"]["count"] >= 50) == (50, True)

        def of(name: str) -> list[dict]:
            return [m for m in client.of_type("system") if m["data"]["stream"]["name"] == name]

        await client.until(lambda: len(of(f"room:{room}")) >= 70 and len(of("user")) >= 51, "all")
        assert [m["content"] for m in of(f"room:{room}")] == list(range(70))
        assert [m["content"] for m in of("user")] == list(range(51))
        for name in ("user", f"room:{room}"):
            offsets = [m["data"]["stream"]["offset"] for m in of(name)]
            assert offsets == list(range(before[name] + 1, before[name] + 1 + len(offsets)))
        assert [m["content"] for m in of("broadcast")][:50] == list(range(50))
        first = [m["type"] for m in client.messages if m["type"] in ("welcome", "resumed", "system")][:2]
        assert first == ["welcome", "resumed"]
        assert (await client.ask(type="room_message", room=room, content="x"))["type"] == "ack"


async def test_a_resume_without_the_announcement_doubles_nothing(stack: Stack):
    user = fresh("user")
    async with Client(stack.ws(user)) as client:
        position = client.streams["user"]
    publish_many(stack, f"websocket:user:{user}", range(20))
    wait_until(lambda: top(stack, f"user.{user}") == 20, "the messages")
    async with Client(stack.ws(user)) as client:
        publish_many(stack, f"websocket:user:{user}", range(20, 40))
        await client.wait_for("system", 20)
        await client.send(type="resume", content={"streams": {"user": position}})
        await client.wait_for("system", 40)
        publish_many(stack, f"websocket:user:{user}", range(40, 41))
        await client.wait_for("system", 41)
        assert sorted(client.contents("system")) == list(range(41))


async def test_offline_messages_and_a_replay_do_not_tell_the_same_twice(stack: Stack):
    user = fresh("user")
    async with Client(stack.ws(user)) as client:
        position = client.streams["user"]
    for number in range(3):
        stack.publish(f"websocket:notification:{user}", {"content": {"title": "t", "body": str(number)}})
    wait_until(lambda: top(stack, f"user.{user}") == 3, "the messages")
    async with Client(stack.ws(user) + "&resume=1") as client:
        await client.send(type="resume", content={"streams": {"user": position}})
        await client.wait_for("notification", 3)
        stack.publish(f"websocket:user:{user}", {"type": "system", "content": "end"})
        await client.wait_for("system")
        assert [c["body"] for c in client.contents("notification")] == ["0", "1", "2"]


async def test_who_was_away_longer_than_the_history_is_told_to_reload(start_stack):
    stack: Stack = start_stack(env={"REALTIME": json.dumps({"history_size": 16})})
    user, room = fresh("user"), fresh("room")
    async with Client(stack.ws(user)) as client:
        positions = {"user": client.streams["user"], f"room:{room}": await client.join(room)}
    publish_many(stack, f"websocket:user:{user}", range(600))
    wait_until(lambda: top(stack, f"user.{user}") == 600, "the messages")
    async with Client(stack.ws(user) + "&resume=1") as client:
        positions["room:admin:closed"] = {"epoch": "abc", "offset": 3}
        positions["broadcast"] = {"epoch": "anotherone", "offset": 3}
        await client.send(type="resume", content={"streams": positions})
        (resumed,) = await client.wait_for("resumed")
        streams = resumed["content"]["streams"]
        assert (streams["user"]["recovered"], streams["user"]["count"], streams["user"]["offset"]) == (False, 0, 600)
        assert (streams[f"room:{room}"]["recovered"], streams[f"room:{room}"]["count"]) == (True, 0)
        assert streams["broadcast"]["recovered"] is False
        closed = streams["room:admin:closed"]
        assert (closed["recovered"], closed["count"], closed["error"]["code"]) == (False, 0, 403)
        publish_many(stack, f"websocket:user:{user}", range(600, 601))
        await client.wait_for("system")
        assert client.contents("system") == [600]


async def test_a_client_that_announces_a_resume_and_sends_none_gets_live_messages_all_the_same(stack: Stack):
    user = fresh("user")
    async with Client(stack.ws(user) + "&resume=1") as client:
        publish_many(stack, f"websocket:user:{user}", range(3))
        await client.wait_for("system", 3)


async def test_a_client_may_resume_on_another_gateway(start_stack):
    stack: Stack = start_stack(gateways=2)
    user, room = fresh("user"), fresh("room")
    one, other = stack.gateways
    async with Client(one.ws(user)) as client:
        positions = {"user": client.streams["user"], f"room:{room}": await client.join(room)}
        one.kill()
        await client.wait_closed()
    publish_many(stack, f"websocket:user:{user}", range(10))
    publish_many(stack, f"websocket:room:{room}", range(10))
    wait_until(lambda: top(stack, f"room.{room}") == 10, "the messages")
    async with Client(other.ws(user) + "&resume=1") as client:
        await client.send(type="resume", content={"streams": positions})
        await client.wait_for("system", 20)
        assert client.contents("system") == [*range(10), *range(10)]


# Redis goes away


async def test_sockets_stay_while_redis_restarts_and_delivery_resumes(own_stack: Stack):
    user, room = fresh("user"), fresh("room")
    async with Client(own_stack.ws(user)) as client, Client(own_stack.ws(fresh("other"))) as other:
        await client.join(room)
        own_stack.valkey.stop()
        wait_until(lambda: get(f"{own_stack.url}/readyz")[0] == 503, "/readyz to say 503")
        assert (await client.ask(type="ping"))["type"] == "pong"
        assert (await client.ask(type="room_message", room=room, content="x"))["content"]["code"] == 503
        assert (await client.ask(type="chat", to=user, content="x"))["content"]["code"] == 503
        assert (await client.ask(type="join_room", content="another"))["content"]["code"] == 503
        assert get(f"{own_stack.url}/healthz")[0] == 200
        own_stack.valkey.start()
        wait_until(own_stack.gateway.is_ready, "/readyz to say 200")
        for kind, channel in (("system", f"user:{user}"), ("refresh", "broadcast"), ("broadcast", f"room:{room}")):
            own_stack.publish(f"websocket:{channel}", {"type": kind, "content": "back"})
        for kind in ("system", "refresh", "broadcast"):
            await client.wait_for(kind)
        await other.wait_for("refresh")
        assert (await client.ask(type="room_message", room=room, content="again"))["type"] == "ack"
        await client.wait_for("room_message")
        assert (client.closed, other.closed) == (None, None)

        def online() -> set[str]:
            with own_stack.redis() as redis:
                return {key.decode() for key in redis.hkeys("ginforge:{presence}:users")}

        wait_until(lambda: user in online(), "presence to be filled again")


async def test_a_frozen_redis_does_not_freeze_the_gateway(start_stack):
    stack: Stack = start_stack(env={"REALTIME": json.dumps({"redis_timeout": 1.0})})
    user = fresh("user")
    async with Client(stack.ws(user)) as client:
        stack.valkey.freeze()
        try:
            assert (await client.ask(type="ping"))["type"] == "pong"
            assert (await client.ask(type="chat", to=user, content="x"))["content"]["code"] == 503
            late = Client(stack.ws(fresh("late")))
            await late.open()
            assert late.messages[0]["content"]["code"] == 503
            assert (await late.wait_closed())[0] == 1013
        finally:
            stack.valkey.thaw()
        wait_until(stack.gateway.is_ready, "/readyz")
        stack.publish(f"websocket:user:{user}", {"type": "system", "content": "back"})
        await client.wait_for("system")


async def test_messages_taken_while_a_gateways_connection_to_redis_is_cut_are_not_lost(start_stack):
    stack: Stack = start_stack(gateways=2)
    user = fresh("user")
    async with Client(stack.gateways[0].ws(user)) as client:
        with stack.redis() as redis:
            for connection in redis.client_list(_type="pubsub"):
                redis.client_kill_filter(_id=connection["id"])
            for number in range(200):
                redis.publish(f"websocket:user:{user}", b'{"type":"system","content":%d}' % number)
                await asyncio.sleep(0.005)
            wait_until(lambda: top(stack, f"user.{user}") >= 1, "a message")
            published = top(stack, f"user.{user}")
        await client.until(lambda: len(client.of_type("system")) >= published, "all that the bridge took")
        offsets = [m["data"]["stream"]["offset"] for m in client.of_type("system")]
        assert offsets == list(range(1, len(offsets) + 1))
