"""A replay larger than the write buffer is paced to what the client takes, not cut as a slow consumer's."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
from websockets.asyncio.client import connect

from tests.integration.programs import wait_until
from tests.integration.stack import Stack

pytestmark = pytest.mark.integration

MESSAGES = 75
SIZE = 100_000


async def test_seven_megabytes_are_replayed_in_order_to_a_client_that_reads_slowly(stack: Stack) -> None:
    async with connect(stack.ws("replay")) as client:
        position = json.loads(await client.recv())["data"]["streams"]["user"]
    with stack.redis() as redis:
        for number in range(MESSAGES):
            message = {"type": "data_update", "content": {"n": number, "filling": "x" * SIZE}}
            redis.publish("websocket:user:replay", json.dumps(message))
        wait_until(lambda: redis.xlen("ginforge:{user.replay}:log") == MESSAGES, "the history")
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    narrow.connect(("127.0.0.1", stack.gateway.port))
    narrow.setblocking(False)
    async with connect(stack.ws("replay") + "&resume=1", sock=narrow, max_queue=1, max_size=None) as client:
        await client.recv()
        await client.send(json.dumps({"type": "resume", "content": {"streams": {"user": position}}}))
        resumed = json.loads(await client.recv())
        assert resumed["content"]["streams"]["user"]["count"] == MESSAGES
        numbers: list[int] = []
        async with asyncio.timeout(60):
            while len(numbers) < MESSAGES:
                numbers.append(json.loads(await client.recv())["content"]["n"])
                await asyncio.sleep(0.01)  # the client takes its time over each
    assert numbers == list(range(MESSAGES))
