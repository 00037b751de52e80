"""What docker/ describes, as real processes: its nginx.conf in front of three gateways, two bridges, PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis
from websockets.asyncio.client import ClientConnection, connect

from ginforge.embedded import EmbeddedValkey, free_port
from tests.integration.postgres import Postgres
from tests.integration.programs import MANAGE, ROOT, Program, manage, wait_until
from tests.integration.stack import Gateway, get, make_token, production_environment

pytestmark = pytest.mark.integration

DOCKER = ROOT / "docker"


class Nginx(Program):
    """nginx with the configuration of docker/, its addresses replaced."""

    def __init__(self, directory: Path, gateways: list[Gateway]) -> None:
        self.port = free_port()
        text = (DOCKER / "nginx" / "nginx.conf").read_text().replace("/tmp/", f"{directory}/")
        (directory / "nginx.conf").write_text(text)
        upstream = (DOCKER / "nginx" / "upstream.conf").read_text()
        for number, gateway in enumerate(gateways, 1):
            assert f"gateway-{number}:8080" in upstream
            upstream = upstream.replace(f"gateway-{number}:8080", f"127.0.0.1:{gateway.port}")
        (directory / "upstream.conf").write_text(upstream)
        (directory / "listen.conf").write_text(f"listen 127.0.0.1:{self.port};\n")
        command = ["nginx", "-c", str(directory / "nginx.conf"), "-g", "daemon off;"]
        super().__init__("nginx", command, cwd=directory)

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"http://127.0.0.1:{self.port}"


class Deployment:
    """The processes of compose.ha.yaml."""

    def __init__(self, directory: Path, valkey: EmbeddedValkey, database_url: str) -> None:
        self.env = production_environment(REDIS_URL=valkey.url, DATABASE_URL=database_url, TRUST_PROXY="1")
        manage("migrate", "--verbosity", "0", env=self.env)
        self.valkey = valkey
        self.gateways = [Gateway(self.env, name=f"gateway-{number}") for number in (1, 2, 3)]
        self.bridges = [Program(f"bridge-{number}", [*MANAGE, "runbridge"], self.env) for number in (1, 2)]
        self.nginx = Nginx(directory, self.gateways)

    def start(self) -> None:
        for program in [*self.bridges, *self.gateways, self.nginx]:
            program.start()
        for gateway in self.gateways:
            gateway.wait_until_ready()
        wait_until(lambda: get(f"{self.nginx.url}/readyz")[0] == 200, "nginx to pass requests on")

    def close(self) -> None:
        for program in [self.nginx, *self.gateways, *self.bridges]:
            program.kill()
            program.close()

    @asynccontextmanager
    async def client(self, user_id: str, query: str = "") -> AsyncIterator[tuple[ClientConnection, dict[str, Any]]]:
        headers = {"Authorization": f"Bearer {make_token(user_id)}", "X-Forwarded-For": "203.0.113.9"}
        async with connect(f"ws://127.0.0.1:{self.nginx.port}/ws{query}", additional_headers=headers) as socket:
            yield socket, json.loads(await socket.recv())


@pytest.fixture(scope="module")
def deployment(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    if shutil.which("nginx") is None:
        pytest.skip("no nginx on this machine (Debian: nginx-light)")
    with EmbeddedValkey() as valkey:
        deployment = Deployment(tmp_path_factory.mktemp("nginx"), valkey, postgres.database_url)
        try:
            deployment.start()
            yield deployment
        finally:
            deployment.close()


async def receive(socket: ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            message: dict[str, Any] = json.loads(await socket.recv())
            if message["type"] == kind:
                return message


async def test_clients_on_different_gateways_share_a_room_and_the_statistics(deployment: Deployment) -> None:
    async with (
        deployment.client("ann") as (ann, one),
        deployment.client("ben") as (ben, two),
        deployment.client("cleo") as (cleo, three),
    ):
        assert len({welcome["data"]["node"] for welcome in (one, two, three)}) == 3, "least_conn spreads them"
        for socket in (ann, ben, cleo):
            await socket.send(json.dumps({"type": "join_room", "id": "j", "content": "ha:1"}))
            await receive(socket, "ack")
        await ann.send(json.dumps({"type": "room_message", "room": "ha:1", "content": "to all three"}))
        for socket in (ann, ben, cleo):
            assert (await receive(socket, "room_message"))["content"] == "to all three"
        stats: dict[str, int] = {}

        def counted() -> bool:
            stats.update(json.loads(get(f"{deployment.nginx.url}/ws/stats")[1]))
            return (stats["total_clients"], stats["online_users"], stats["total_rooms"]) == (3, 3, 1)

        await asyncio.to_thread(wait_until, counted, "the cluster's statistics")


async def test_the_real_address_reaches_the_gateway_and_a_forged_one_does_not(deployment: Deployment) -> None:
    async with deployment.client("dan"):
        staff = make_token("root", is_staff=True)
        status, body = await asyncio.to_thread(
            get, f"{deployment.nginx.url}/api/v1/realtime/connections/?user_id=dan", token=staff
        )
    assert status == 200
    assert "203.0.113.9" not in body
    assert "127.0.0.1" in body


async def test_clients_of_a_killed_gateway_are_on_the_others_with_nothing_missed(deployment: Deployment) -> None:
    async with deployment.client("eve") as (socket, welcome):
        position = welcome["data"]["streams"]["user"]
        victim = next(g for g in deployment.gateways if f"-{g.pid}-" in welcome["data"]["node"])
        await asyncio.to_thread(victim.kill)
        with pytest.raises(Exception, match="no close frame"):
            await receive(socket, "never")
    try:
        with Redis.from_url(deployment.valkey.url) as redis:
            for number in range(20):
                redis.publish("websocket:user:eve", json.dumps({"type": "data_update", "content": {"n": number}}))
        async with deployment.client("eve", "?resume=1") as (socket, again):
            assert again["data"]["node"] != welcome["data"]["node"]
            await socket.send(json.dumps({"type": "resume", "content": {"streams": {"user": position}}}))
            numbers = [(await receive(socket, "data_update"))["content"]["n"] for _ in range(20)]
        assert numbers == list(range(20))
    finally:
        victim.start()
        await asyncio.to_thread(victim.wait_until_ready)


async def test_a_gateway_that_drains_gets_no_new_clients_and_loses_none(deployment: Deployment) -> None:
    began = time.monotonic()
    draining = deployment.gateways[0]
    stopping = asyncio.create_task(asyncio.to_thread(draining.terminate))
    try:
        for number in range(12):
            async with deployment.client(f"drain-{number}") as (_, welcome):
                assert welcome["type"] == "welcome"
        await stopping
    finally:
        draining.start()
        await asyncio.to_thread(draining.wait_until_ready)
    assert time.monotonic() > began


@pytest.mark.parametrize("name", ["compose.yaml", "compose.ha.yaml"])
def test_compose_names_only_files_and_commands_that_exist(name: str) -> None:
    compose = yaml.safe_load((DOCKER / name).read_text())
    for service, options in compose["services"].items():
        if options.get("image") == "ginforge-realtime":
            assert options["read_only"] is True, service
            assert options["cap_drop"] == ["ALL"], service
            if "entrypoint" in options:
                assert options["entrypoint"] == ["celery", "-A", "ginforge"], service
                assert options["command"][0] in ("worker", "beat"), service
            else:
                manage("help", options["command"][0], env=production_environment())
        for volume in options.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).exists(), source
            else:
                assert source in compose["volumes"], source
        for needed in options.get("depends_on", {}):
            assert needed in compose["services"], needed


def test_the_image_copies_only_what_there_is_and_does_not_run_as_root() -> None:
    lines = (DOCKER / "Dockerfile").read_text().splitlines()
    sources = [line.split()[1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
    assert "USER 10001" in lines


def test_the_kubernetes_manifests_drain_and_run_without_rights() -> None:
    documents = list(yaml.safe_load_all((DOCKER / "kubernetes" / "ginforge.yaml").read_text()))
    kinds = [document["kind"] for document in documents]
    assert {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"} <= set(kinds)
    for document in documents:
        if document["kind"] in ("Deployment", "Job"):
            pod = document["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"] is True
            for container in pod["containers"]:
                assert container["securityContext"]["readOnlyRootFilesystem"] is True
                manage("help", container["args"][0], env=production_environment())


def test_every_alert_and_panel_asks_for_a_metric_that_exists(deployment: Deployment) -> None:
    exposed = get(f"{deployment.gateways[1].url}/metrics")[1]
    texts = (DOCKER / "prometheus" / "alerts.yml").read_text() + (
        DOCKER / "grafana/dashboards/ginforge.json"
    ).read_text()
    for name in sorted(set(re.findall(r"websocket_[a-z_]+", texts))):
        assert f"\n{name}" in exposed, name
