"""A connection outlives its token only by a better one."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.integration.clients import Client
from tests.integration.stack import Stack, make_token
from tests.security.observing import fresh, order

pytestmark = pytest.mark.integration


async def test_a_client_is_warned_once_before_its_token_expires(stack: Stack) -> None:
    user = fresh("warned")
    expires = int(time.time()) + 61
    async with Client(f"{stack.ws_url}?token={make_token(user, exp=expires)}") as client:
        warning = (await client.wait_for("token_expiring"))[0]
        assert warning["content"] == {"expires_at": expires}
        answer = await client.ask(type="refresh_token", content={"token": make_token(user, ttl=600)})
        assert answer["content"]["expires_at"] > expires
        assert len(client.of_type("token_expiring")) == 1
        again = int(time.time()) + 30
        await client.ask(type="refresh_token", content={"token": make_token(user, exp=again)})
        assert (await client.wait_for("token_expiring", 2))[1]["content"] == {"expires_at": again}


async def test_without_a_refresh_the_warning_is_followed_by_4401(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(env={"REALTIME": '{"expiry_warning": 1}'})
    client = await Client(stack.ws("short", ttl=3)).open()
    assert (await client.wait_closed())[0] == 4401
    assert [message["type"] for message in client.messages if message["type"] in ("token_expiring", "error")] == [
        "token_expiring", "error",
    ]  # fmt: skip


async def test_tokens_that_must_not_extend_a_connection_do_not(stack: Stack) -> None:
    user, revoked = fresh("refresh"), fresh("jti")
    order(stack, jti=revoked, revoke=True, code=4401)
    async with Client(stack.ws(user)) as client:
        for token, code in (
            (make_token(fresh("other")), 403),
            (make_token(user, ttl=-5), 401),
            (make_token(user, token_type="refresh"), 401),
            (make_token(user, jti=revoked), 401),
            ("nonsense", 401),
        ):
            answer = await client.ask(type="refresh_token", content={"token": token})
            assert (answer["type"], answer["content"]["code"]) == ("error", code)
        assert (await client.ask(type="refresh_token", content={"token": ""}))["content"]["code"] == 422
        assert (await client.ask(type="ping"))["type"] == "pong"


async def test_a_fresh_token_takes_away_rooms_it_does_not_open(stack: Stack) -> None:
    user = fresh("rooms")
    async with Client(stack.ws(user, rooms=["a:*", "b:*"])) as client:
        await client.join(f"a:{user}")
        await client.join(f"b:{user}")
        answer = await client.ask(type="refresh_token", content={"token": make_token(user, rooms=["b:*"])})
        assert answer["type"] == "ack"
        assert [error["content"]["code"] for error in client.of_type("error")] == [403]
        assert (await client.ask(type="room_message", room=f"a:{user}", content=1))["content"]["code"] == 403
        assert (await client.ask(type="room_message", room=f"b:{user}", content=1))["type"] == "ack"
        assert (await client.ask(type="join_room", content=f"a:{user}"))["content"]["code"] == 403


async def test_a_fresh_token_gives_and_takes_the_staff_role(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(env={"REALTIME": '{"presence_audience": "staff"}'})
    user = fresh("role")
    async with Client(stack.ws(user)) as client:
        for staff in (True, False):
            token = make_token(user, is_staff=staff)
            assert (await client.ask(type="refresh_token", content={"token": token}))["type"] == "ack"
            joined = await client.ask(type="join_room", content="admin:desk")
            assert joined["type"] == ("ack" if staff else "error")
            seen = len(client.of_type("user_status"))
            async with Client(stack.ws(fresh("visitor"), is_staff=True)) as visitor:
                await visitor.wait_for("user_status")  # staff itself: the event has gone out
                if staff:
                    await client.wait_for("user_status", seen + 1)
                    await client.ask(type="leave_room", content="admin:desk")
            if not staff:
                assert (await client.ask(type="ping"))["type"] == "pong"
                assert len(client.of_type("user_status")) == seen
