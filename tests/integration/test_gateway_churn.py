"""Clients that come and go in every way, and processes that die, leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import uuid

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.integration.clients import Client
from tests.integration.programs import wait_until
from tests.integration.stack import Stack, get, make_token


def stats(stack: Stack) -> tuple[int, int, int]:
    """Return what ``/ws/stats`` says: clients, users, rooms."""
    figures = json.loads(get(f"{stack.url}/ws/stats")[1])
    return figures["total_clients"], figures["online_users"], figures["total_rooms"]


async def rude(stack: Stack, pick: random.Random) -> None:
    """Connect, perhaps join and talk, and go without a word at a random moment."""
    url = stack.ws(f"rude-{pick.randrange(40)}") + pick.choice(["", "&resume=1"])
    moment = pick.choice((0.0, 0.001, 0.005, 0.02, 0.1))
    with contextlib.suppress(OSError, WebSocketException, TimeoutError):
        opening = asyncio.ensure_future(connect(url, max_queue=None).__aenter__())
        done, _ = await asyncio.wait({opening}, timeout=moment)
        if not done and pick.random() < 0.5:
            opening.cancel()
            return
        socket = await opening
        for _ in range(pick.randrange(6)):
            await socket.send(json.dumps(pick.choice((
                {"type": "join_room", "content": f"r{pick.randrange(10)}", "id": 1},
                {"type": "leave_room", "content": f"r{pick.randrange(10)}"},
                {"type": "room_message", "room": f"r{pick.randrange(10)}", "content": "x"},
                {"type": "chat", "to": f"rude-{pick.randrange(40)}", "content": "x"},
                {"type": "resume", "content": {"streams": {f"room:r{pick.randrange(9)}": {"epoch": "x", "offset": 1}}}},
            ))))  # fmt: skip
        await asyncio.sleep(moment)
        if pick.random() < 0.5:
            socket.transport.abort()
        else:
            await socket.close()


async def test_hundreds_of_clients_that_come_and_go_rudely_leave_nothing_behind(start_stack):
    stack: Stack = start_stack(env={"REALTIME": json.dumps({"presence_grace": 0.2, "offline_types": []})})
    pick = random.Random(11)
    async with Client(stack.ws("witness")) as witness:
        await witness.join("calm")
        for _ in range(6):
            await asyncio.gather(*[rude(stack, pick) for _ in range(60)])
        assert (await witness.ask(type="ping"))["type"] == "pong"
        await asyncio.to_thread(wait_until, lambda: stats(stack) == (1, 1, 1), "one client to be left", 20)
        with stack.redis() as redis:
            assert redis.hgetall("ginforge:{presence}:users") == {b"witness": b"1"}
            assert redis.hgetall("ginforge:{presence}:rooms") == {b"calm": b"1"}
            channels = redis.pubsub_channels("ginforge__group__*")
        assert {name.decode() for name in channels} == {
            "ginforge__group__broadcast", "ginforge__group__control", "ginforge__group__user.witness",
            "ginforge__group__room.calm",
        }  # fmt: skip
        live = re.search(r"^websocket_connections_live\S* (\S+)$", get(f"{stack.url}/metrics")[1], re.MULTILINE)
        assert live is not None
        assert float(live[1]) == 1
    assert "Traceback" not in stack.gateway.log
    assert "ERROR" not in stack.gateway.log


async def test_the_users_of_a_killed_gateway_go_offline_by_themselves(start_stack):
    stack: Stack = start_stack(gateways=2, env={"REALTIME": json.dumps({"lease": 1.5, "presence_grace": 0.2})})
    dying, living = stack.gateways
    lost, both = uuid.uuid4().hex, uuid.uuid4().hex
    async with Client(living.ws("watcher")) as watcher, Client(living.ws(both)):
        async with Client(dying.ws(lost)), Client(dying.ws(both)) as doomed:
            await doomed.join("a-room")
            await watcher.until(lambda: {s["user_id"] for s in watcher.contents("user_status")} >= {lost, both})
            dying.kill()
            await doomed.wait_closed()
        await watcher.until(
            lambda: any(s == {**s, "user_id": lost, "status": "offline"} for s in watcher.contents("user_status")),
            "the user to go offline",
        )
        assert not any(s["user_id"] == both and s["status"] == "offline" for s in watcher.contents("user_status"))
        users = json.loads(get(f"{living.url}/ws/online-users", token=make_token("7"))[1])
        assert sorted(users["users"]) == sorted(["watcher", both])
        assert users["total"] == 2
        assert json.loads(get(f"{living.url}/ws/stats")[1])["total_rooms"] == 0


async def test_clients_of_a_gateway_that_stops_are_told_to_come_back(start_stack):
    stack: Stack = start_stack()
    async with Client(stack.ws("7")) as client:
        await asyncio.to_thread(stack.gateway.terminate)
        code, _ = await client.wait_closed()
        assert code == 1012
