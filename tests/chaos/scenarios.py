"""The faults: each breaks one thing while messages flow, and puts it right again."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.chaos.run import Deployment

Fault = Callable[["Deployment", float], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One fault and the deployment it is tried on; the fault runs for about ``seconds``."""

    name: str
    what: str
    fault: Fault
    durable: bool = False
    persist: bool = False
    through_proxy: bool = False


async def calm(deployment: Deployment, seconds: float) -> None:
    """Break nothing but the clients' own connections."""
    await _churn(deployment, seconds)


async def kill_gateway(deployment: Deployment, seconds: float) -> None:
    """Kill -9 one gateway after the other and start it again."""
    for gateway in deployment.gateways:
        await asyncio.to_thread(gateway.kill)
        await asyncio.sleep(seconds / 4)
        gateway.start()
        await asyncio.to_thread(gateway.wait_until_ready)


async def kill_bridge(deployment: Deployment, seconds: float) -> None:
    """Kill -9 the active bridge, twice."""
    for _ in range(2):
        bridge = await asyncio.to_thread(deployment.active_bridge)
        await asyncio.to_thread(bridge.kill)
        await asyncio.sleep(seconds / 3)
        bridge.start()
        await asyncio.to_thread(deployment.wait_for_bridges)


async def kill_only_bridge(deployment: Deployment, seconds: float) -> None:
    """Kill -9 both bridges; what is published meanwhile waits in the durable ingress."""
    for bridge in deployment.bridges:
        await asyncio.to_thread(bridge.kill)
    await asyncio.sleep(seconds / 3)
    for bridge in deployment.bridges:
        bridge.start()
    await asyncio.to_thread(deployment.wait_for_bridges)


async def kill_redis(deployment: Deployment, seconds: float) -> None:
    """Kill -9 Valkey and start it again."""
    await asyncio.to_thread(deployment.valkey.kill)
    await asyncio.sleep(seconds / 4)
    await asyncio.to_thread(deployment.valkey.start)
    await asyncio.sleep(seconds / 4)


async def rolling_restart(deployment: Deployment, seconds: float) -> None:
    """SIGTERM the gateways one after the other, as a deployment of a new version does."""
    for gateway in deployment.gateways:
        await asyncio.to_thread(gateway.terminate)
        gateway.start()
        await asyncio.to_thread(gateway.wait_until_ready)
        await asyncio.sleep(seconds / 6)


async def terminate_bridge(deployment: Deployment, seconds: float) -> None:
    """SIGTERM the active bridge."""
    bridge = await asyncio.to_thread(deployment.active_bridge)
    await asyncio.to_thread(bridge.terminate)
    await asyncio.sleep(seconds / 3)
    bridge.start()
    await asyncio.to_thread(deployment.wait_for_bridges)


async def cut_redis(deployment: Deployment, seconds: float) -> None:
    """Cut a process's connections to Redis again and again, some in the middle of a reply."""
    end = time.monotonic() + seconds / 2
    while time.monotonic() < end:
        await asyncio.sleep(random.uniform(0.1, 0.4))
        proxy = random.choice(deployment.proxies)
        if random.random() < 0.5:
            proxy.cut()
        else:
            proxy.cut_in_reply(random.randrange(1, 200))


async def stall_redis(deployment: Deployment, seconds: float) -> None:
    """Let nothing through to Redis for longer than the gateways' patience, with connections open."""
    for proxy in deployment.proxies:
        proxy.stall()
    await asyncio.sleep(max(8.0, seconds / 2))
    for proxy in deployment.proxies:
        proxy.flow()


async def slow_redis(deployment: Deployment, seconds: float) -> None:
    """Delay every packet to and from Redis by 100 ms."""
    for proxy in deployment.proxies:
        proxy.delay(0.1)
    await asyncio.sleep(seconds / 2)
    for proxy in deployment.proxies:
        proxy.flow()


async def stall_one_gateway(deployment: Deployment, seconds: float) -> None:
    """Make Redis a black hole for one gateway only."""
    deployment.proxies[-1].stall()
    await asyncio.sleep(max(8.0, seconds / 2))
    deployment.proxies[-1].flow()


async def slow_database(deployment: Deployment, seconds: float) -> None:
    """Lock the database, as a dying disk would, while clients come and go."""
    with contextlib.closing(sqlite3.connect(deployment.database, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        await _churn(deployment, seconds / 2)
        connection.execute("ROLLBACK")


async def _churn(deployment: Deployment, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        random.choice(deployment.clients).drop()
        await asyncio.sleep(0.2)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(name="clients", what="clients drop their connections all the time", fault=calm),
        Scenario(name="gateway-kill", what="kill -9 of each of two gateways", fault=kill_gateway),
        Scenario(name="rolling-restart", what="SIGTERM, one gateway after the other", fault=rolling_restart),
        Scenario(name="bridge-kill", what="kill -9 of the active of two bridges, PubSub ingress", fault=kill_bridge),
        Scenario(name="bridge-term", what="SIGTERM of the active of two bridges", fault=terminate_bridge),
        Scenario(
            name="bridges-kill", what="kill -9 of both bridges, durable ingress", fault=kill_only_bridge, durable=True
        ),
        Scenario(
            name="redis-kill-aof",
            what="kill -9 of Valkey with persistence, durable ingress",
            fault=kill_redis,
            durable=True,
            persist=True,
        ),
        Scenario(
            name="redis-kill",
            what="kill -9 of Valkey without persistence, durable ingress",
            fault=kill_redis,
            durable=True,
        ),
        Scenario(
            name="redis-cut",
            what="connections to Valkey cut, also in mid-reply",
            fault=cut_redis,
            durable=True,
            through_proxy=True,
        ),
        Scenario(
            name="redis-stall", what="Valkey a black hole for 8 s", fault=stall_redis, durable=True, through_proxy=True
        ),
        Scenario(
            name="redis-stall-one",
            what="Valkey a black hole for one gateway",
            fault=stall_one_gateway,
            through_proxy=True,
        ),
        Scenario(
            name="redis-slow",
            what="every packet to Valkey 100 ms late",
            fault=slow_redis,
            durable=True,
            through_proxy=True,
        ),
        Scenario(name="database-slow", what="the database locked", fault=slow_database),
    )
}
