"""A message that was stored, because the gateway had lost Redis for a moment, and recovered as well, comes once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis import Redis
from websockets.asyncio.client import ClientConnection, connect

from ginforge.embedded import EmbeddedValkey
from tests.chaos.tcp_proxy import TcpProxy
from tests.integration.programs import MANAGE, Program, wait_until
from tests.integration.stack import Gateway, production_environment

pytestmark = pytest.mark.integration


@pytest.fixture
async def cut_off(migrated_database: Path, tmp_path: Path) -> AsyncIterator[tuple[Gateway, TcpProxy, EmbeddedValkey]]:
    """Give a gateway behind a proxy to Valkey, and a bridge that reaches Valkey directly."""
    database = shutil.copy(migrated_database, tmp_path / "db.sqlite3")
    with EmbeddedValkey() as valkey:
        async with TcpProxy(valkey.port) as proxy:
            env = production_environment(REDIS_URL=valkey.url, DATABASE_URL=f"sqlite:///{database}")
            behind = {**env, "REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0"}
            with Program("bridge", [*MANAGE, "runbridge"], env), Gateway(behind) as gateway:
                await asyncio.to_thread(gateway.wait_until_ready)
                yield gateway, proxy, valkey


async def titles(socket: ClientConnection, seconds: float) -> list[str]:
    """Collect the titles of the notifications that come until it has been quiet for so many seconds."""
    found = []
    while True:
        try:
            message = json.loads(await asyncio.wait_for(socket.recv(), seconds))
        except TimeoutError:
            return found
        if message["type"] == "notification":
            found.append(message["content"]["title"])


def stored(gateway: Gateway) -> int:
    """Count the stored messages."""
    path = gateway.env["DATABASE_URL"].removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path)) as database:
        return int(database.execute("SELECT count(*) FROM notifications_storedmessage").fetchone()[0])


async def test_it_comes_once_now_and_not_again_at_the_next_connect(
    cut_off: tuple[Gateway, TcpProxy, EmbeddedValkey],
) -> None:
    gateway, proxy, valkey = cut_off
    async with connect(gateway.ws("twice")) as socket:
        await socket.recv()
        proxy.refuse()
        with Redis.from_url(valkey.url) as redis:
            await asyncio.to_thread(
                wait_until,
                lambda: redis.pubsub_numsub("ginforge__group__user.twice")[0][1] == 0,
                "the gateway's subscription to end",
            )
            notification = {"content": {"title": "once", "body": "b"}}
            redis.publish("websocket:notification:twice", json.dumps(notification))
            await asyncio.to_thread(
                wait_until, lambda: redis.exists("ginforge:{user.twice}:log"), "the message in the history"
            )
        await asyncio.to_thread(wait_until, lambda: stored(gateway) == 1, "the message to be stored")
        proxy.flow()
        assert await titles(socket, 3.0) == ["once"]
    async with connect(gateway.ws("twice")) as socket:
        assert await titles(socket, 2.0) == []
