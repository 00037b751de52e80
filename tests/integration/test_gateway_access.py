"""Who gets in, and for how long (DESIGN 2.2)."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import jwt
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.integration.clients import Client
from tests.integration.stack import SIGNING_KEY, Stack, make_token


def fresh(prefix: str) -> str:
    """Return a name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


async def test_the_token_may_stand_in_three_places(stack: Stack):
    token = make_token("77")
    ways: list[tuple[str, dict[str, Any]]] = [
        (stack.ws_url, {"subprotocols": ["bearer", token]}),
        (stack.ws_url, {"additional_headers": {"Authorization": f"Bearer {token}"}}),
        (f"{stack.ws_url}?token={token}", {}),
    ]
    for url, options in ways:
        async with Client(url, **options) as client:
            assert client.messages[0]["data"]["user_id"] == "77"
            assert client.socket.subprotocol == ("bearer" if "subprotocols" in options else None)


def signed(**claims: Any) -> str:
    payload = {"token_type": "access", "user_id": "7", "exp": time.time() + 60, **claims}
    return jwt.encode({k: v for k, v in payload.items() if v is not None}, SIGNING_KEY, algorithm="HS256")


BAD_TOKENS = {
    "none": lambda: "",
    "nonsense": lambda: "abc.def.ghi",
    "expired": lambda: signed(exp=time.time() - 5),
    "without exp": lambda: signed(exp=None),
    "not yet": lambda: signed(nbf=time.time() + 600),
    "refresh": lambda: signed(token_type="refresh"),
    "untyped": lambda: signed(token_type=None),
    "without user_id": lambda: signed(user_id=None),
    "an empty user_id": lambda: signed(user_id=""),
    "a user_id that is a list": lambda: signed(user_id=[]),
    "another key": lambda: make_token("7", key="another-signing-key-0123456789-abcdefgh"),
    "unsigned": lambda: jwt.encode({"user_id": "7", "exp": time.time() + 60}, "", algorithm="none"),
    "another algorithm": lambda: jwt.encode(
        {"token_type": "access", "user_id": "7", "exp": time.time() + 60}, SIGNING_KEY * 2, algorithm="HS512"
    ),
}


@pytest.mark.parametrize("make", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_a_bad_token_is_told_and_closed_with_4401(stack: Stack, make: Any):
    async with Client(f"{stack.ws_url}?token={make()}") as client:
        assert [m["type"] for m in client.messages] == ["error"]
        assert client.messages[0]["content"]["code"] == 401
        assert (await client.wait_closed())[0] == 4401


async def test_two_tokens_in_the_query_are_none(stack: Stack):
    async with Client(f"{stack.ws('7')}&token={make_token('8')}") as client:
        assert (await client.wait_closed())[0] == 4401


async def test_an_expired_token_cuts_the_live_connection_within_two_seconds(stack: Stack):
    expires = time.time() + 3
    async with Client(stack.ws(fresh("u"), exp=expires)) as client:
        assert (await client.ask(type="ping"))["type"] == "pong"
        code, _ = await client.wait_closed()
        ended = time.time()
        assert code == 4401
        assert client.of_type("error")[-1]["content"]["code"] == 401
        assert expires - 1 <= ended <= expires + 2.5


async def test_a_fresh_token_keeps_the_connection(stack: Stack):
    user = fresh("u")
    expires = time.time() + 3
    async with Client(stack.ws(user, exp=expires)) as client:
        answer = await client.ask(type="refresh_token", content={"token": make_token(user)})
        assert answer["type"] == "ack"
        assert answer["content"]["expires_at"] > time.time() + 3000
        other = await client.ask(type="refresh_token", content={"token": make_token("somebody-else")})
        assert other["content"]["code"] == 403
        await asyncio.sleep(expires + 2.5 - time.time())
        assert (await client.ask(type="ping"))["type"] == "pong"


async def status_of(url: str, **headers: str) -> int:
    """Try an upgrade and return the HTTP status."""
    try:
        async with connect(url, additional_headers=headers or None):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_a_foreign_or_malformed_origin_is_refused_with_403_before_the_upgrade(stack: Stack):
    url = stack.ws("7")
    own = stack.url
    foreign = (
        "https://evil.example", "null", "", "nonsense", "http://", "http://[", own + "/path", own + ".evil.example",
        "http://127.0.0.1:1", "http://127.0.0.1@evil.example", "file://", "http://a b",
    )  # fmt: skip
    assert await status_of(url) == 101
    assert await status_of(url, Origin=own) == 101
    for origin in foreign:
        assert await status_of(url, Origin=origin) == 403, origin


async def test_allowed_origins_are_let_in(start_stack):
    stack: Stack = start_stack(env={"ALLOWED_ORIGINS": "https://app.example.com,https://*.example.org"})
    url = stack.ws("7")
    for origin, status in (
        ("https://app.example.com", 101), ("https://a.example.org", 101), ("https://example.org", 403),
        ("http://app.example.com", 403), ("https://app.example.com:8443", 403),
    ):  # fmt: skip
        assert await status_of(url, Origin=origin) == status, origin


async def test_other_paths_are_no_websockets(stack: Stack):
    token = make_token("7")
    for path in ("/", "/ws/stats", "/ws/x", "/wss", "/WS"):
        assert await status_of(f"{stack.ws_url.removesuffix('/ws')}{path}?token={token}") in (400, 403, 404), path


@pytest.mark.parametrize("user_id", [5, 5.0, "0", "ü日 🦊", "a:b", "x" * 512, "🦊" * 512, "%2F", "user.7"])
async def test_any_user_id_of_the_contract_connects_and_is_reached(stack: Stack, user_id: Any):
    expected = "5" if user_id in (5, 5.0) else user_id
    token = make_token(user_id, username="n")
    async with Client(stack.ws_url, additional_headers={"Authorization": f"Bearer {token}"}) as client:
        assert client.messages[0]["data"]["user_id"] == expected
        mark = fresh("mark")
        stack.publish(f"websocket:user:{expected}", {"type": "system", "content": mark})
        await client.until(lambda: mark in client.contents("system"), mark)


async def test_a_rooms_claim_opens_these_rooms_and_no_others(stack: Stack):
    async with Client(stack.ws(fresh("u"), rooms=["team:*", "lobby"])) as client:
        await client.join("team:a:b")
        await client.join("lobby")
        for closed in ("team", "other", "admin:x"):
            assert (await client.ask(type="join_room", content=closed))["content"]["code"] == 403


async def test_staff_enter_admin_rooms(stack: Stack):
    async with Client(stack.ws(fresh("u"), is_staff=True)) as client:
        await client.join("admin:ops")


async def test_no_token_is_ever_written_to_a_log(stack: Stack):
    token = make_token(fresh("u"))
    bad = make_token(fresh("u"), key="another-signing-key-0123456789-abcdefgh")
    for url in (
        f"{stack.ws_url}?token={token}",
        f"{stack.ws_url}?token={bad}",
        f"{stack.url}/ws/online-users?token={token}",
    ):
        if url.startswith("ws"):
            async with Client(url):
                pass
    logs = stack.gateway.log + stack.bridge.log
    assert token not in logs
    assert bad not in logs
    assert token.split(".")[2] not in logs
