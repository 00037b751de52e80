"""Ten thousand user ids and room names from a fuzzer: nothing breaks, and no message reaches the wrong one."""

from __future__ import annotations

import asyncio
import json
import random
import time
import uuid
from contextlib import AsyncExitStack

import jwt
import pytest

from tests.integration.clients import Client
from tests.integration.programs import wait_until
from tests.integration.stack import SIGNING_KEY, Stack

NAMES = 10_000
BATCH = 100


def fuzzed_names(count: int) -> list[str]:
    """Names made to be confused: differing in case, Unicode form, colons, percent signs, length; hash-lookalikes."""
    pick = random.Random(2)
    pieces = [
        *"aAbB01._-:%/\\ {}*?[]'\"#&+=,;", "é", "e\u0301", "ﬁ", "ß", "日本", "🦊", "İ", "\u200d", "%3A",
        "user.", "room.",
        "hashed-name.sha256.", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", "user:", "chat:",
    ]  # fmt: skip
    names: dict[str, None] = {}
    while len(names) < count:
        name = "".join(pick.choices(pieces, k=pick.choice((1, 2, 2, 3, 4, 6, 10, 80))))[:500]
        for variant in (name, name.swapcase(), name + ":", name.replace(":", "%3A")):
            if len(variant) <= 512 and not variant.startswith(("user:", "admin:")):
                names[variant] = None
    return list(names)[:count]


def bearer(user_id: str) -> dict[str, str]:
    """Return the header with a token; short claims, because the ids are long."""
    token = jwt.encode(
        {"token_type": "access", "user_id": user_id, "exp": time.time() + 3600}, SIGNING_KEY, algorithm="HS256"
    )
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.slow
async def test_ten_thousand_rooms_keep_apart(start_stack):
    """100 clients in 100 rooms each; every room gets one message that names it, and every client hears its own 100."""
    stack: Stack = start_stack(
        env={"REALTIME": json.dumps({"message_rate": 1e6, "message_burst": 1e6, "presence_audience": "nobody"})}
    )
    names = fuzzed_names(NAMES)
    async with AsyncExitStack() as opened:
        clients = []
        for start in range(0, NAMES, BATCH):
            client = await opened.enter_async_context(Client(stack.ws(f"c{start}")))
            clients.append((client, names[start : start + BATCH]))
            for name in names[start : start + BATCH]:
                await client.send(type="join_room", content=name, id=name[:100])
            await client.until(lambda c=client: len(c.of_type("ack", "error")) == BATCH, "the answers", timeout=60)
            assert client.of_type("error") == []
            assert [m["content"]["room"] for m in client.of_type("ack")] == names[start : start + BATCH]
        with stack.redis() as redis:
            pipe = redis.pipeline(transaction=False)
            for name in names:
                pipe.publish(f"websocket:room:{name}", json.dumps({"type": "system", "content": name}))
            await asyncio.to_thread(pipe.execute)
        for client, rooms in clients:
            await client.until(lambda c=client: len(c.of_type("system")) >= BATCH, "the messages", timeout=60)
            assert sorted(client.contents("system")) == sorted(rooms)
            assert all(m["room"] == m["content"] for m in client.of_type("system"))
            assert all(m["data"]["stream"]["name"] == "room:" + m["content"] for m in client.of_type("system"))
        with stack.redis() as redis:
            wait_until(lambda: redis.hlen("ginforge:{presence}:rooms") == NAMES, "all rooms to be counted")


@pytest.mark.slow
async def test_ten_thousand_user_ids_keep_apart(start_stack):
    """Batches of 250 users connect; all 10,000 ids are sent a message, and each connected user hears one: its own."""
    stack: Stack = start_stack(env={"REALTIME": json.dumps({"presence_audience": "nobody", "offline_types": []})})
    names = fuzzed_names(NAMES)
    end = uuid.uuid4().hex
    for start in range(0, NAMES, 250):
        batch = names[start : start + 250]
        async with AsyncExitStack() as opened:
            clients = [Client(stack.ws_url, additional_headers=bearer(name)) for name in batch]
            await asyncio.gather(*[opened.enter_async_context(client) for client in clients])
            assert [client.messages[0]["data"]["user_id"] for client in clients] == batch
            around = random.Random(start).sample(names, 100)
            with stack.redis() as redis:
                pipe = redis.pipeline(transaction=False)
                for name in [*batch, *around]:
                    pipe.publish(
                        f"websocket:user:{name}",
                        json.dumps({"type": "system", "content": name, "id": f"{start}{name}"[:500]}),
                    )
                pipe.publish("websocket:broadcast", json.dumps({"type": "refresh", "content": f"{end}{start}"}))
                await asyncio.to_thread(pipe.execute)
            for client, name in zip(clients, batch, strict=True):
                await client.until(lambda c=client, mark=f"{end}{start}": mark in c.contents("refresh"), "the end")
                await client.until(lambda c=client: c.of_type("system"), "the message")
                assert client.contents("system") == [name]
                assert client.of_type("system")[0]["to"] == name
