"""Several Redis hosts as shards of the channel layer: streams are spread over them, nothing else changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from websockets.asyncio.client import ClientConnection, connect

from ginforge.embedded import EmbeddedValkey
from tests.integration.programs import MANAGE, Program, wait_until
from tests.integration.stack import Gateway, production_environment

pytestmark = pytest.mark.integration

ROOMS = [f"shards:{number}" for number in range(12)]


@pytest.fixture
def shards() -> Iterator[list[EmbeddedValkey]]:
    with EmbeddedValkey() as first, EmbeddedValkey() as second:
        yield [first, second]


@pytest.fixture
def gateway(shards: list[EmbeddedValkey], migrated_database: Path) -> Iterator[Gateway]:
    urls = ",".join(shard.url for shard in shards)
    env = production_environment(REDIS_URL=urls, DATABASE_URL=f"sqlite:///{migrated_database}")
    with Program("bridge", [*MANAGE, "runbridge"], env), Gateway(env) as gateway:
        gateway.wait_until_ready()
        yield gateway


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[ClientConnection]:
    async with connect(gateway.ws("alice")) as socket:
        assert json.loads(await socket.recv())["type"] == "welcome"
        yield socket


async def until(socket: ClientConnection, wanted: int, kind: str) -> list[dict[str, Any]]:
    """Receive until ``wanted`` messages of a type have come; returns them."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while len(found) < wanted:
            message = json.loads(await socket.recv())
            if message["type"] == kind:
                found.append(message)
    return found


async def join_all(socket: ClientConnection) -> dict[str, dict[str, Any]]:
    """Join every room; returns the positions by stream name."""
    for room in ROOMS:
        await socket.send(json.dumps({"type": "join_room", "id": room, "content": room}))
    acks = await until(socket, len(ROOMS), "ack")
    return {ack["content"]["stream"]["name"]: ack["content"]["stream"] for ack in acks}


async def test_rooms_live_on_both_shards_and_all_deliver(
    client: ClientConnection, shards: list[EmbeddedValkey]
) -> None:
    await join_all(client)
    with Redis.from_url(shards[0].url) as publisher:
        for room in ROOMS:
            publisher.publish(f"websocket:room:{room}", json.dumps({"type": "room_message", "content": room}))
    messages = await until(client, len(ROOMS), "room_message")
    assert sorted(message["content"] for message in messages) == sorted(ROOMS)
    for shard in shards:
        with Redis.from_url(shard.url) as redis:
            assert list(redis.scan_iter("ginforge:{room.*}:log")) != []


async def test_a_publisher_may_use_either_shard(client: ClientConnection, shards: list[EmbeddedValkey]) -> None:
    for shard in shards:
        with Redis.from_url(shard.url) as publisher:
            publisher.publish("websocket:user:alice", json.dumps({"type": "system", "content": shard.port}))
    messages = await until(client, 2, "system")
    assert {message["content"] for message in messages} == {shard.port for shard in shards}


async def test_recovery_reaches_both_shards(gateway: Gateway, shards: list[EmbeddedValkey]) -> None:
    async with connect(gateway.ws("bob")) as socket:
        await socket.recv()
        positions = await join_all(socket)
    with Redis.from_url(shards[0].url) as publisher:
        for room in ROOMS:
            publisher.publish(f"websocket:room:{room}", json.dumps({"type": "room_message", "content": room}))
    for shard in shards:
        with Redis.from_url(shard.url) as redis:
            wait_until(lambda redis=redis: list(redis.scan_iter("ginforge:{room.*}:log")), "histories")
    async with connect(gateway.ws("bob") + "&resume=1") as socket:
        await socket.recv()
        await socket.send(json.dumps({"type": "resume", "content": {"streams": positions}}))
        messages = await until(socket, len(ROOMS), "room_message")
    assert sorted(message["content"] for message in messages) == sorted(ROOMS)


async def test_one_shard_restarted_comes_back_by_itself(
    gateway: Gateway, client: ClientConnection, shards: list[EmbeddedValkey]
) -> None:
    await join_all(client)
    await asyncio.to_thread(shards[1].kill)
    await asyncio.to_thread(wait_until, lambda: not gateway.is_ready(), "/readyz to say that a shard is gone")
    await asyncio.to_thread(shards[1].start)
    await asyncio.to_thread(gateway.wait_until_ready)
    with Redis.from_url(shards[0].url) as publisher:
        for room in ROOMS:
            publisher.publish(f"websocket:room:{room}", json.dumps({"type": "room_message", "content": room}))
    assert len(await until(client, len(ROOMS), "room_message")) == len(ROOMS)
