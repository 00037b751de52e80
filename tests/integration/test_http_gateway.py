"""The HTTP side of a whole deployment: probes, metrics, staff's orders, tokens that stop counting."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import urllib.request
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.integration.programs import wait_until
from tests.integration.stack import Stack, get, make_token


def call(stack: Stack, path: str, body: dict[str, Any] | None = None, *, token: str | None = None) -> tuple[int, Any]:
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(stack.url + path, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def staff_call(stack: Stack, path: str, body: dict[str, Any] | None = None) -> Any:
    status, answer = call(stack, f"/api/v1/realtime/{path}", body, token=make_token("boss", is_staff=True))
    assert status in (200, 202), answer
    return answer


async def welcomed(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await socket.recv())
    assert message["type"] == "welcome"
    return message


async def close_code(socket: ClientConnection) -> int:
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.recv()
    assert socket.close_code is not None
    return socket.close_code


def sample(text: str, name: str) -> float:
    return sum(float(value) for value in re.findall(rf"^{re.escape(name)}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))


async def test_staff_see_and_cut_one_connection(stack: Stack) -> None:
    async with connect(stack.ws("cut-one")) as first, connect(stack.ws("cut-one")) as second:
        client_id = (await welcomed(first))["data"]["client_id"]
        await welcomed(second)
        found = staff_call(stack, "connections/?user_id=cut-one")
        assert client_id in [row["client_id"] for row in found]
        assert {row["username"] for row in found} == {"name-cut-one"}
        staff_call(stack, "disconnect/", {"client_id": client_id, "code": 4403, "reason": "house rules"})
        assert await close_code(first) == 4403
        assert first.close_reason == "house rules"
        await second.send('{"type":"ping","id":"p"}')
        while json.loads(await second.recv())["type"] != "pong":
            pass


async def test_members_of_a_room_are_listed_by_its_exact_name(stack: Stack) -> None:
    room = "http:房间/1 ?&"
    async with connect(stack.ws("member")) as socket:
        await welcomed(socket)
        await socket.send(json.dumps({"type": "join_room", "content": room, "id": "j"}))
        while json.loads(await socket.recv())["type"] != "ack":
            pass
        quoted = urllib.parse.quote(room, safe="")
        assert [row["user_id"] for row in staff_call(stack, f"members/?room={quoted}")] == ["member"]
        wait_until(lambda: room in [row["room"] for row in staff_call(stack, "rooms/")], "the room in the list")


async def test_a_revoked_user_is_cut_everywhere_and_kept_out(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(gateways=2)
    token = make_token("revoked")
    urls = [f"{gateway.ws_url}?token={token}" for gateway in stack.gateways]
    async with connect(urls[0]) as first, connect(urls[1]) as second:
        await welcomed(first)
        await welcomed(second)
        staff_call(stack, "disconnect/", {"user_id": "revoked", "code": 4401, "revoke": True})
        assert [await close_code(first), await close_code(second)] == [4401, 4401]
    for url in urls:
        async with connect(url) as again:
            assert json.loads(await again.recv())["content"]["code"] == 401
            assert await close_code(again) == 4401
    assert call(stack, "/ws/online-users", token=token)[0] == 401


async def test_a_logout_cuts_the_sessions_connections(stack: Stack) -> None:
    script = "from django.contrib.auth.models import User; User.objects.create_user('leaver', password='pass-word-1')"
    stack.manage("shell", "--no-imports", "-c", script)
    status, pair = call(stack, "/api/v1/auth/token/", {"username": "leaver", "password": "pass-word-1"})
    assert status == 200
    async with connect(f"{stack.ws_url}?token={pair['access']}") as socket:
        await welcomed(socket)
        assert call(stack, "/api/v1/auth/logout/", {"refresh": pair["refresh"]})[0] == 204
        assert await close_code(socket) == 4401
    assert call(stack, "/ws/online-users", token=pair["access"])[0] == 401
    assert call(stack, "/api/v1/auth/refresh/", {"refresh": pair["refresh"]})[0] == 401


async def test_deactivating_a_user_cuts_the_connections(stack: Stack) -> None:
    models = "from django.contrib.auth.models import User; "
    stack.manage("shell", "--no-imports", "-c", models + "User.objects.create_user('banned', password='pass-word-1')")
    pair = call(stack, "/api/v1/auth/token/", {"username": "banned", "password": "pass-word-1"})[1]
    async with connect(f"{stack.ws_url}?token={pair['access']}") as socket:
        await welcomed(socket)
        ban = "u = User.objects.get(username='banned'); u.is_active = False; u.save()"
        await asyncio.to_thread(stack.manage, "shell", "--no-imports", "-c", models + ban)
        assert await close_code(socket) == 4403
    assert call(stack, "/api/v1/auth/refresh/", {"refresh": pair["refresh"]})[0] == 401


async def test_the_counters_of_the_contract_count(stack: Stack) -> None:
    before = get(f"{stack.url}/metrics")[1]
    async with connect(stack.ws("counted")) as socket:
        await welcomed(socket)
        await socket.send('{"type":"ping"}')
        await socket.send("not json")
        while json.loads(await socket.recv())["type"] != "error":
            pass
    after = get(f"{stack.url}/metrics")[1]
    for name in ("connections_total", "messages_sent_total", "messages_received_total", "errors_total"):
        assert sample(after, f"websocket_{name}") > sample(before, f"websocket_{name}"), name
    for name in ("websocket_buffered_bytes", "websocket_cluster_users", "websocket_dead_letters_stored"):
        assert re.search(rf"^{name} \S+$", after, re.MULTILINE), name
    assert sample(after, "websocket_redis_up") == 1
    assert sample(after, "websocket_cluster_bridge_up") >= 1
    assert "django_http_requests_total_by_method_total" in after


async def test_the_metrics_of_several_workers_are_one_sum(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(workers=2)
    async with connect(stack.ws("w1")) as first, connect(stack.ws("w2")) as second, connect(stack.ws("w3")) as third:
        for socket in (first, second, third):
            await welcomed(socket)
        texts = [get(f"{stack.url}/metrics")[1] for _ in range(4)]
    counts = {sample(text, "websocket_connections_total") for text in texts}
    assert counts == {3}
    assert all(len(re.findall(r"^# TYPE websocket_messages_sent_total ", text, re.MULTILINE)) == 1 for text in texts)


def test_readiness_follows_redis_down_and_up(own_stack: Stack) -> None:
    own_stack.valkey.stop()
    status, body = get(f"{own_stack.url}/readyz", timeout=5)
    assert status == 503
    assert json.loads(body)["checks"]["redis"].startswith("not reachable")
    assert json.loads(body)["checks"]["database"] == "ok"
    assert get(f"{own_stack.url}/healthz")[0] == 200
    assert get(f"{own_stack.url}/ws/stats")[0] == 503
    status, text = get(f"{own_stack.url}/metrics")
    assert (status, sample(text, "websocket_redis_up")) == (200, 0)
    own_stack.valkey.start()
    wait_until(own_stack.gateway.is_ready, "/readyz after Redis came back")


def test_readiness_names_a_missing_bridge(own_stack: Stack) -> None:
    own_stack.bridge.kill()
    wait_until(lambda: get(f"{own_stack.url}/readyz")[0] == 503, "/readyz to miss the bridge")
    assert json.loads(get(f"{own_stack.url}/readyz")[1])["reason"] == "bridge: no bridge is running"


async def test_no_token_reaches_a_log_a_metric_or_an_error_page(own_stack: Stack) -> None:
    good, bad = make_token("canary"), make_token("canary", key="k" * 40)
    for token in (good, bad):
        async with connect(f"{own_stack.ws_url}?token={token}") as socket:
            await socket.recv()
        for path in ("/ws/online-users", f"/nowhere?token={token}", f"/ws/stats?token={token}", f"/?token={token}"):
            status, body = get(own_stack.url + path, token=token)
            assert status < 500
            assert token not in body, path
    call(own_stack, "/api/v1/auth/refresh/", {"refresh": good})
    metrics = get(f"{own_stack.url}/metrics")[1]
    for token in (good, bad):
        signature = token.rsplit(".", 1)[1]
        assert signature not in own_stack.gateway.log
        assert signature not in own_stack.bridge.log
        assert signature not in metrics
