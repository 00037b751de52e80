"""A flood that begins with the connect does not cut the client before it has been sent anything."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from websockets.asyncio.client import connect

from tests.integration.stack import Stack

pytestmark = pytest.mark.integration


async def test_four_megabytes_right_after_the_welcome_all_arrive_in_order(stack: Stack) -> None:
    texts = [json.dumps({"type": "system", "content": {"n": n, "filling": "x" * 100_000}}) for n in range(41)]

    def publish() -> None:
        with stack.redis() as redis:
            for text in texts:
                redis.publish("websocket:user:busy", text)

    async with connect(stack.ws("busy"), max_size=None) as socket:
        assert json.loads(await socket.recv())["type"] == "welcome"
        threading.Thread(target=publish).start()
        numbers: list[int] = []
        async with asyncio.timeout(30):
            while len(numbers) < len(texts):
                message = json.loads(await socket.recv())
                if message["type"] == "system":
                    numbers.append(message["content"]["n"])
    assert numbers == list(range(len(texts)))
