"""Connections to Redis cut at random, of gateways and bridge alike: every durable message arrives once, in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from contextlib import AsyncExitStack

import pytest
from redis.exceptions import RedisError

from tests.integration.clients import Client
from tests.integration.stack import Stack

CHANNELS = ("user:u0", "user:u1", "room:r0", "room:r1", "broadcast")
ROUNDS = 300


async def cut_at_random(stack: Stack) -> None:
    """Cut about a third of all connections to Redis, again and again."""
    pick = random.Random(3)
    with stack.redis() as redis:
        while True:
            await asyncio.sleep(0.25)
            for connection in redis.client_list():
                if pick.random() < 0.35 and not connection["cmd"].startswith("client"):
                    with contextlib.suppress(RedisError):
                        redis.client_kill_filter(_id=connection["id"])


async def publish(stack: Stack) -> None:
    """Send ``ROUNDS`` durable messages to every channel; a cut connection of our own is made again."""
    with stack.redis() as redis:
        for number in range(ROUNDS):
            for channel in CHANNELS:
                message = json.dumps({"type": "system", "content": number, "id": f"m{number}"})
                redis.xadd("ginforge:ingress", {"channel": f"websocket:{channel}", "message": message})
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_durable_messages_arrive_once_and_in_order_while_connections_to_redis_are_cut(start_stack):
    stack: Stack = start_stack(
        gateways=2, env={"REALTIME": json.dumps({"history_size": 100_000, "presence_audience": "nobody"})}
    )
    async with AsyncExitStack() as opened:
        clients = []
        for number in range(8):
            client = Client(stack.gateways[number % 2].ws(f"u{number // 2 % 2}"))
            clients.append(await opened.enter_async_context(client))
            await client.join(f"r{number // 4}")
        cutting = asyncio.create_task(cut_at_random(stack))
        await publish(stack)
        cutting.cancel()
        for client in clients:
            await client.until(lambda c=client: len(c.of_type("system")) >= 3 * ROUNDS, "all messages", timeout=60)
            offsets: dict[str, list[int]] = {}
            for message in client.of_type("system"):
                at = message["data"]["stream"]
                offsets.setdefault(at["name"], []).append(at["offset"])
            assert len(offsets) == 3
            assert all(found == list(range(1, ROUNDS + 1)) for found in offsets.values())
            assert client.of_type("resumed", "error") == []
            assert client.closed is None
