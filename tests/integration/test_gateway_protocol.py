"""What a client sends over a real socket: answered, refused with the right code, survived (DESIGN 2.2)."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest
from websockets.exceptions import ConnectionClosed

from tests.integration.clients import Client
from tests.integration.stack import Stack


def fresh(prefix: str) -> str:
    """Return a name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


@pytest.mark.contract("2.2", "ping/pong")
async def test_ping_is_answered_with_pong(stack: Stack):
    async with Client(stack.ws(fresh("u"))) as client:
        await client.send_raw('{"type":"ping"}')
        (pong,) = await client.wait_for("pong")
        assert (pong["content"], isinstance(pong["timestamp"], int), "id" in pong) == (None, True, False)
        assert (await client.ask(type="ping", id=7))["type"] == "pong"


@pytest.mark.contract("2.2", "ack")
async def test_a_message_with_an_id_is_acknowledged_and_one_without_is_not(stack: Stack):
    async with Client(stack.ws(fresh("u"))) as client:
        room = fresh("room")
        await client.send(type="join_room", content=room)
        answer = await client.ask(type="room_message", room=room, content=1)
        assert answer["type"] == "ack"
        assert isinstance(answer["timestamp"], int)
        assert len(client.of_type("ack")) == 1


@pytest.mark.contract("2.2", "error")
@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "teleport"}, 400),
        ({"type": 7}, 400),
        ({}, 400),
        ({"type": "notification", "content": {"title": "x"}}, 403),
        ({"type": "welcome"}, 403),
        ({"type": "user_status", "content": {}}, 403),
        ({"type": "room_message", "room": "not-mine", "content": "x"}, 403),
        ({"type": "join_room", "content": "admin:ops"}, 403),
        ({"type": "join_room", "content": "user:somebody:x"}, 403),
        ({"type": "join_room", "content": ""}, 422),
        ({"type": "join_room", "content": "x" * 513}, 422),
        ({"type": "join_room", "content": "a\nb"}, 422),
        ({"type": "chat", "content": "x"}, 422),
        ({"type": "chat", "to": "1"}, 422),
        ({"type": "chat", "to": "1", "content": "x", "data": 5}, 422),
        ({"type": "resume", "content": {}}, 422),
        ({"type": "refresh_token", "content": {"token": "nonsense"}}, 401),
    ],
)
async def test_a_refused_message_says_why_and_the_connection_lives(stack: Stack, message: dict, code: int):
    async with Client(stack.ws(fresh("u"))) as client:
        answer = await client.ask(**message)
        assert answer["type"] == "error"
        assert (answer["content"]["code"], answer["content"]["level"]) == (code, "error")
        assert answer["content"]["message"]
        assert (await client.ask(type="ping"))["type"] == "pong"


BAD = {
    "empty": "",
    "not JSON": "hello",
    "an array": "[]",
    "message null": '{"message":null}',
    "NaN": '{"type":"chat","to":"1","content":NaN}',
    "1e999": '{"type":"chat","to":"1","content":1e999}',
    "5,000 digits": '{"type":"chat","to":"1","content":' + "9" * 5000 + "}",
    "2,000 deep": '{"type":"chat","to":"1","content":' + "[" * 2000 + "]" * 2000 + "}",
    "a lone surrogate": '{"type":"chat","to":"1","content":"\\ud800"}',
    "a key twice": '{"type":"ping","type":"ping"}',
    "made to be slow": "[" * 65 + '"' + '\\"' * 250_000,
}


@pytest.mark.parametrize("payload", BAD.values(), ids=BAD.keys())
async def test_a_frame_that_is_no_message_is_told_400_and_survived(stack: Stack, payload: str):
    async with Client(stack.ws(fresh("u"))) as client:
        await client.send_raw(payload)
        (error,) = await client.wait_for("error")
        assert error["content"]["code"] == 400
        assert (await client.ask(type="ping"))["type"] == "pong"


async def test_a_frame_over_the_limit_closes_with_1009(stack: Stack):
    async with Client(stack.ws(fresh("u"))) as client:
        await client.send_raw(json.dumps({"type": "chat", "to": "1", "content": "x" * 2_000_000}))
        assert (await client.wait_closed())[0] == 1009


async def test_the_largest_frame_a_client_may_send_is_delivered(stack: Stack):
    user = fresh("u")
    empty = json.dumps({"type": "chat", "to": user, "content": ""})
    text = "x" * (524_288 - len(empty))
    async with Client(stack.ws(user)) as client:
        await client.send_raw(empty.replace('"content": ""', f'"content": "{text}"'))
        (got,) = await client.wait_for("chat")
        assert got["content"] == text


async def test_a_binary_frame_closes_with_1003(stack: Stack):
    async with Client(stack.ws(fresh("u"))) as client:
        await client.socket.send(b"\x00\x01", text=False)
        assert (await client.wait_closed())[0] == 1003


async def test_text_that_is_not_utf8_closes_with_1007(stack: Stack):
    async with Client(stack.ws(fresh("u"))) as client:
        await client.send_raw(b'{"type":"\xff"}')
        assert (await client.wait_closed())[0] == 1007


async def test_a_flood_is_told_429_then_closed_with_4429(stack: Stack):
    async with Client(stack.ws(fresh("u"))) as client:
        for number in range(2000):
            if client.closed:
                break
            try:
                await client.send(type="ping", id=number)
            except ConnectionClosed:
                break
        code, _ = await client.wait_closed()
        assert code == 4429
        refused = client.of_type("error")
        assert {m["content"]["code"] for m in refused} == {429}
        assert 400 <= len(refused) <= 520
        assert len(client.of_type("pong")) >= 100


async def test_fifty_messages_a_second_are_not_too_many(stack: Stack):
    async with Client(stack.ws(fresh("u"))) as client:
        for number in range(150):
            await client.send(type="ping", id=number)
            await asyncio.sleep(0.02)
        await client.wait_for("pong", 150)
        assert client.of_type("error") == []


async def test_messages_sent_before_welcome_are_answered_in_their_order(stack: Stack):
    room = fresh("room")
    client = Client(stack.ws(fresh("u")))
    client._socket = await client._connect
    for number, message in enumerate(
        [
            {"type": "join_room", "content": room},
            {"type": "room_message", "room": room, "content": "x"},
            {"type": "chat", "to": "nobody-here", "content": "y"},
        ]
    ):
        await client.send(id=number, **message)
    client._reader = asyncio.create_task(client._read())
    await client.wait_for("ack", 3)
    assert client.messages[0]["type"] == "welcome"
    assert [m["id"] for m in client.of_type("ack")] == [0, 1, 2]
    await client.wait_for("room_message")
    await client.close()


async def test_a_room_limit_is_kept(start_stack):
    stack: Stack = start_stack(env={"REALTIME": json.dumps({"max_rooms": 3})})
    async with Client(stack.ws(fresh("u"))) as client:
        for number in range(3):
            await client.join(f"r{number}")
        assert (await client.ask(type="join_room", content="r3"))["content"]["code"] == 403
        await client.ask(type="leave_room", content="r0")
        await client.join("r3")
