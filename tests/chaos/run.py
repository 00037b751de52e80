"""Runs one scenario on a deployment of its own and returns the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis

from ginforge.embedded import EmbeddedValkey
from tests.chaos.client import ChaosClient
from tests.chaos.history import History, Verdict
from tests.chaos.scenarios import Scenario
from tests.chaos.tcp_proxy import TcpProxy
from tests.chaos.workload import Workload
from tests.integration.programs import MANAGE, Program, manage, wait_until
from tests.integration.stack import Gateway, make_token, production_environment

USERS = [f"u{number}" for number in range(6)]
ROOMS = [f"room:chaos:{number}" for number in range(4)]
STREAMS = ["broadcast", *(f"user:{user}" for user in USERS), *ROOMS]
DEVICES = 2
_SETTLE = 30.0


class Deployment:
    """Two gateways, two bridges, Valkey (perhaps behind a proxy), a database, and the clients."""

    def __init__(self, directory: Path, scenario: Scenario) -> None:
        self.valkey = EmbeddedValkey(directory=directory / "valkey", persist=scenario.persist)
        self.database = directory / "db.sqlite3"
        self.gateways: list[Gateway] = []
        self.bridges: list[Program] = []
        self.clients: list[ChaosClient] = []
        self.proxies: list[TcpProxy] = []
        self._env = production_environment(DATABASE_URL=f"sqlite:///{self.database}")

    async def start(self, proxies: list[TcpProxy]) -> None:
        """Start everything and wait until it serves; each process has its own proxy, when there are any."""
        self.proxies = proxies
        urls = [f"redis://127.0.0.1:{proxy.port}/0" for proxy in proxies] or [self.valkey.url] * 4
        envs = [{**self._env, "REDIS_URL": url} for url in urls]
        await asyncio.to_thread(manage, "migrate", "--verbosity", "0", env=envs[0])
        self.bridges = [Program(f"bridge-{n}", [*MANAGE, "runbridge"], envs[n]).start() for n in range(2)]
        self.gateways = [Gateway(envs[n + 2], name=f"gateway-{n}") for n in range(2)]
        for gateway in self.gateways:
            gateway.start()
        for gateway in self.gateways:
            await asyncio.to_thread(gateway.wait_until_ready)
        await asyncio.to_thread(self.wait_for_bridges)

    def addresses(self) -> list[str]:
        """Return where clients can connect now."""
        return [gateway.ws_url for gateway in self.gateways if gateway.alive] or [self.gateways[0].ws_url]

    def seen_bridges(self) -> list[dict[str, Any]]:
        """Return what the bridges say of themselves in Redis."""
        with redis.Redis.from_url(self.valkey.url) as client:
            rows = [json.loads(value) for value in client.hvals("ginforge:{bridge}:seen")]
        pids = {bridge.pid for bridge in self.bridges if bridge.alive}
        return [row for row in rows if row["pid"] in pids and time.time() - row["at"] < 3]

    def active_bridge(self) -> Program:
        """Return the bridge that holds the lease."""
        found: list[Program] = []

        def one_is_active() -> bool:
            pids = [row["pid"] for row in self.seen_bridges() if row["role"] == "active"]
            found[:] = [bridge for bridge in self.bridges if bridge.alive and bridge.pid in pids]
            return len(found) == 1

        wait_until(one_is_active, "one active bridge")
        return found[0]

    def wait_for_bridges(self) -> None:
        """Wait until both bridges are there, one of them active."""
        wait_until(
            lambda: sorted(row["role"] for row in self.seen_bridges()) == ["active", "standby"],
            "an active and a standby bridge",
        )

    def logs(self) -> str:
        """Return the last lines of every process."""
        return "\n".join(f"--- {p.name}\n{p.log[-2000:]}" for p in [*self.gateways, *self.bridges])

    def close(self) -> None:
        """Stop everything."""
        for program in [*self.gateways, *self.bridges]:
            program.kill()
            program.close()
        self.valkey.close()


async def run_scenario(scenario: Scenario, seconds: float) -> tuple[Verdict, str]:
    """Run one scenario; returns the verdict and the end of every log."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as directory:
        deployment = Deployment(Path(directory), scenario)
        try:
            await asyncio.to_thread(deployment.valkey.start)
            async with contextlib.AsyncExitStack() as stack:
                wanted = 4 if scenario.through_proxy else 0
                proxies = [await stack.enter_async_context(TcpProxy(deployment.valkey.port)) for _ in range(wanted)]
                return await _run(deployment, scenario, seconds, proxies)
        finally:
            await asyncio.to_thread(deployment.close)


async def _run(
    deployment: Deployment, scenario: Scenario, seconds: float, proxies: list[TcpProxy]
) -> tuple[Verdict, str]:
    await deployment.start(proxies)
    history = History()
    deployment.clients = _clients(deployment, history)
    for client in deployment.clients:
        client.start()
    async with asyncio.timeout(_SETTLE):
        await asyncio.gather(*(client.settled.wait() for client in deployment.clients))
    workload = Workload(deployment.valkey.url, STREAMS, history, durable=scenario.durable)
    workload.start()
    try:
        await asyncio.sleep(1.0)
        await scenario.fault(deployment, seconds)
        await asyncio.sleep(1.0)
    finally:
        await workload.stop()
    await _quiet(history)
    for client in deployment.clients:
        await client.stop()
    return history.check(), deployment.logs()


def _clients(deployment: Deployment, history: History) -> list[ChaosClient]:
    def rooms_of(number: int) -> Sequence[str]:
        return [ROOMS[number % len(ROOMS)], ROOMS[(number + 1) % len(ROOMS)]]

    return [
        ChaosClient(
            f"{user}/{device}",
            user,
            [room.removeprefix("room:") for room in rooms_of(number)],
            history,
            addresses=deployment.addresses,
            token=make_token,
        )
        for number, user in enumerate(USERS)
        for device in range(DEVICES)
    ]


async def _quiet(history: History) -> None:
    """Wait until everybody has everything, or nothing has moved for a while."""
    deadline = time.monotonic() + _SETTLE
    while history.missing() and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
