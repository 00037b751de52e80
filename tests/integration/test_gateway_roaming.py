"""Clients that lose their connection all the time and resume on another gateway: nothing lost or doubled."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest

from tests.integration.clients import Client
from tests.integration.stack import Stack

CHANNELS = ("user:u0", "user:u1", "room:r0", "room:r1", "broadcast")
MESSAGES = 600


class Roamer:
    """One user who reconnects for ever; ``seen`` holds the offsets per stream, over all connections."""

    def __init__(self, stack: Stack, number: int) -> None:
        self.user, self.room = f"u{number % 2}", f"r{number // 2 % 2}"
        self.seen: dict[str, list[int]] = {}
        self.connections = 0
        self.unrecovered: list[Any] = []
        self._stack = stack
        self._pick = random.Random(number)
        self._positions: dict[str, Any] = {}

    async def roam(self, done: asyncio.Event) -> None:
        """Connect, resume, listen for a moment, go; at the end stay until all is there."""
        while not done.is_set():
            await self._visit(self._pick.choice((0.01, 0.03, 0.1, 0.3)))
        await self._visit(None)

    async def _visit(self, moment: float | None) -> None:
        client = Client(self._pick.choice(self._stack.gateways).ws(self.user) + "&resume=1", max_queue=None)
        await client.open()
        self.connections += 1
        if not self._positions:
            self._positions = {**client.streams, f"room:{self.room}": await client.join(self.room)}
        await client.send(type="resume", content={"streams": self._positions})
        if moment is None:
            await client.until(lambda: self._complete(client), "the rest", timeout=60)
        else:
            await asyncio.sleep(moment)
            if self._pick.random() < 0.7:
                client.socket.transport.abort()
        await client.close()
        self._keep(client)

    def _complete(self, client: Client) -> bool:
        tops = {name: at["offset"] for name, at in {**self._positions, **client.last_positions()}.items()}
        return all(tops[name] >= MESSAGES for name in ("user", "broadcast", f"room:{self.room}"))

    def _keep(self, client: Client) -> None:
        for message in client.of_type("resumed"):
            self.unrecovered += [r for r in message["content"]["streams"].values() if not r["recovered"]]
        for message in client.of_type("system"):
            at = message["data"]["stream"]
            self.seen.setdefault(at["name"], []).append(at["offset"])
            self._positions[at["name"]] = {"epoch": at["epoch"], "offset": at["offset"]}


@pytest.mark.slow
async def test_clients_that_reconnect_all_the_time_see_every_message_once_and_in_order(start_stack):
    settings = {"history_size": 100_000, "presence_audience": "nobody", "offline_types": []}
    stack: Stack = start_stack(gateways=2, env={"REALTIME": json.dumps(settings)})
    done = asyncio.Event()
    roamers = [Roamer(stack, number) for number in range(6)]
    roaming = [asyncio.create_task(roamer.roam(done)) for roamer in roamers]
    while any(roamer.connections < 2 for roamer in roamers):
        await asyncio.sleep(0.05)
    with stack.redis() as redis:
        for number in range(MESSAGES):
            for channel in CHANNELS:
                redis.publish(f"websocket:{channel}", json.dumps({"type": "system", "content": number}))
            await asyncio.sleep(0.01)
    done.set()
    await asyncio.gather(*roaming)
    for roamer in roamers:
        assert set(roamer.seen) == {"user", "broadcast", f"room:{roamer.room}"}
        assert all(offsets == list(range(1, MESSAGES + 1)) for offsets in roamer.seen.values())
        assert roamer.unrecovered == []
        assert roamer.connections > 10
