"""Fixtures for tests against a real Valkey in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis
from hypothesis import settings as hypothesis_settings

from ginforge.embedded import EmbeddedValkey
from realtime.conf import RealtimeSettings, get_settings
from realtime.hub import Hub
from realtime.layer import RedisStreamChannelLayer
from realtime.registry import offline_store, register_offline_store

# Times are the machine's matter, and it may be a busy one.
hypothesis_settings.register_profile("suite", deadline=None)
hypothesis_settings.load_profile("suite")

MakeLayer = Callable[..., RedisStreamChannelLayer]
MakeHub = Callable[..., Awaitable[Hub]]


async def eventually(condition: Callable[[], Any], what: str = "", timeout: float = 15.0) -> Any:
    """Poll until ``condition()`` is true and return what it gave."""
    deadline = time.monotonic() + timeout
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what or condition}")
        await asyncio.sleep(0.01)
    return found


@pytest.fixture(scope="session")
def _running_valkey() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture
def valkey(_running_valkey: EmbeddedValkey) -> EmbeddedValkey:
    """Give a running Valkey, empty."""
    with redis.Redis.from_url(_running_valkey.url) as client:
        client.flushall()
    return _running_valkey


@pytest.fixture
def own_valkey() -> Iterator[EmbeddedValkey]:
    """Give a running Valkey of this test's own, to stop and freeze."""
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture
def store(valkey: EmbeddedValkey) -> Iterator[redis.Redis]:
    """Give a blocking client of ``valkey``."""
    with redis.Redis.from_url(valkey.url, decode_responses=True) as client:
        yield client


@pytest.fixture
async def make_layer(settings: Any) -> AsyncIterator[MakeLayer]:
    """Give ``make(valkey, **realtime_settings) -> channel layer``; several may live in one loop."""
    layers: list[RedisStreamChannelLayer] = []

    def make(server: EmbeddedValkey, **conf: Any) -> RedisStreamChannelLayer:
        settings.REALTIME = conf
        get_settings.cache_clear()
        layer = RedisStreamChannelLayer(hosts=[server.url])
        layer.for_loop()
        layers.append(layer)
        return layer

    yield make
    for layer in layers:
        await layer.for_loop().flush()


@pytest.fixture
async def make_hub(make_layer: MakeLayer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MakeHub]:
    """Give ``await make(valkey, **realtime_settings) -> started hub``, each a gateway process of its own."""
    hubs: list[Hub] = []

    async def make(server: EmbeddedValkey, **conf: Any) -> Hub:
        layer = make_layer(server, **conf)
        monkeypatch.setattr("channels.layers.get_channel_layer", lambda *_: layer)
        hub = Hub(RealtimeSettings(**conf))
        hubs.append(hub)
        await hub.ensure_started()
        return hub

    yield make
    for hub in hubs:
        await hub.stop()


@pytest.fixture
def without_offline_store() -> Iterator[None]:
    """Leave the database out of the test; it may register a store of its own."""
    before = offline_store()
    register_offline_store(None)
    yield
    register_offline_store(before)
