"""The load generator against a whole deployment, and against gateways that misbehave."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from realtime.loadtest.options import LoadOptions, LoadTestError
from realtime.loadtest.progress import NoProgress
from realtime.loadtest.runner import run
from tests.integration.certificates import write_self_signed
from tests.integration.stack import SIGNING_KEY, Stack, make_token

FEW = ("--clients", "12", "--duration", "0.5", "--rate", "40", "--room-size", "4")


def loadtest(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "realtime.loadtest", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_a_sound_gateway_loses_doubles_and_reorders_nothing(stack: Stack, tmp_path: Path) -> None:
    report, page = tmp_path / "report.json", tmp_path / "report.html"
    limits = ("--max-loss", "0", "--max-duplicates", "0", "--max-reordered", "0")
    files = ("--json", str(report), "--html", str(page))
    done = loadtest(stack.ws_url, "--jwt-key", SIGNING_KEY, "--redis-url", stack.redis_url, *FEW, *limits, *files)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(report.read_text())
    assert figures["connected"] == 12
    assert [scenario["name"] for scenario in figures["scenarios"]] == ["broadcast", "unicast", "room"]
    for scenario in figures["scenarios"]:
        assert scenario["received"] > 0
        assert scenario["lost"] == 0
    assert page.read_text().count("<svg") >= 1


def test_without_redis_clients_load_the_gateway_by_themselves(stack: Stack) -> None:
    done = loadtest(stack.ws_url, "--jwt-key", SIGNING_KEY, *FEW, "--max-loss", "0", "--max-duplicates", "0")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "unicast" in done.stdout
    assert "room" in done.stdout


def test_the_django_command_signs_with_the_local_settings(stack: Stack) -> None:
    output = stack.manage("loadtest", stack.ws_url, *FEW, "--scenarios", "room", "--max-loss", "0")
    assert "12 of 12 connected" in output


def test_one_token_for_all_makes_them_devices_of_one_user(stack: Stack) -> None:
    token = make_token("loadtest-one")
    through_redis = ("--redis-url", stack.redis_url, "--scenarios", "unicast")
    done = loadtest(stack.ws_url, "--token", token, *through_redis, *FEW, "--max-loss", "0")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_passed_limit_makes_the_exit_code_1(stack: Stack) -> None:
    done = loadtest(stack.ws_url, "--jwt-key", SIGNING_KEY, *FEW, "--scenarios", "room", "--max-p99", "0")
    assert done.returncode == 1
    assert "LIMIT PASSED: room: p99 ms" in done.stdout


def test_a_gateway_that_lets_nobody_in_is_told_in_one_line(stack: Stack) -> None:
    cases = {
        (stack.ws_url,): "token",
        (stack.ws_url, "--jwt-key", "another-signing-key-0123456789-abcdefgh"): "token",
        ("ws://127.0.0.1:9/ws",): "connection refused",
        ("nonsense",): "not a WebSocket URL",
        (stack.ws_url, "--jwt-key", SIGNING_KEY, "--redis-url", "redis://127.0.0.1:9"): "Redis",
    }
    for arguments, reason in cases.items():
        done = loadtest(*arguments)
        assert done.returncode == 2
        assert reason in done.stderr
        assert "Traceback" not in done.stderr


Behaviour = Callable[[list[ServerConnection], str, int], list[tuple[ServerConnection, str]]]


@asynccontextmanager
async def misbehaving(behave: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve one room for everybody, in which ``behave`` turns message number n into what is delivered."""
    members: list[ServerConnection] = []
    count = 0

    async def handler(connection: ServerConnection) -> None:
        nonlocal count
        members.append(connection)
        await connection.send(json.dumps({"type": "welcome", "data": {"user_id": str(len(members))}}))
        async for text in connection:
            message = json.loads(text)
            if message["type"] == "join_room":
                await connection.send(json.dumps({"type": "ack", "id": message["id"]}))
                continue
            count += 1
            for recipient, delivered in behave(members, str(text), count):
                await recipient.send(delivered)

    async with serve(handler, "127.0.0.1", 0, ssl=tls) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/ws"


async def figures(behave: Behaviour) -> tuple[int, int, int]:
    async with misbehaving(behave) as url:
        options = LoadOptions(url=url, clients=3, room_size=3, duration=0.5, rate=60, scenarios=("room",))
        result = await run(options, mint=None, progress=NoProgress())
    outcome = result.scenarios[0].outcome
    return outcome.lost, outcome.duplicates, outcome.reordered


async def test_a_lost_message_is_noticed_at_each_recipient() -> None:
    lost, doubled, _ = await figures(lambda members, text, n: [] if n == 5 else [(member, text) for member in members])
    assert (lost, doubled) == (3, 0)


async def test_a_doubled_message_is_noticed() -> None:
    def behave(members: list[ServerConnection], text: str, n: int) -> list[tuple[ServerConnection, str]]:
        return [(member, text) for member in members * (2 if n == 5 else 1)]

    assert await figures(behave) == (0, 3, 0)


async def test_a_message_that_comes_late_is_noticed() -> None:
    kept: dict[str, list[str]] = {}

    def behave(members: list[ServerConnection], text: str, n: int) -> list[tuple[ServerConnection, str]]:
        sender = json.loads(text)["content"].split(":")[2]
        texts = [text]
        if sender not in kept:
            kept[sender], texts = [text], []  # the first of each sender waits for the second
        elif kept[sender]:
            texts += kept[sender]
            kept[sender] = []
        return [(member, each) for member in members for each in texts]

    lost, doubled, reordered = await figures(behave)
    assert (lost, doubled) == (0, 0)
    assert reordered == 3 * len(kept)


async def test_a_certificate_nobody_vouches_for_is_taken_only_when_told_so(tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(write_self_signed(tmp_path / "server.pem"))

    async with misbehaving(lambda members, text, n: [(member, text) for member in members], tls) as url:
        careful = LoadOptions(url=url, clients=2, duration=0.2, scenarios=("room",))
        with pytest.raises(LoadTestError, match=r"TLS failed: .*--insecure"):
            await run(careful, mint=None, progress=NoProgress())
        result = await run(replace(careful, insecure=True), mint=None, progress=NoProgress())
    assert result.scenarios[0].outcome.lost == 0


async def test_a_gateway_that_refuses_rooms_is_told() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send(json.dumps({"type": "welcome"}))
        async for _ in connection:
            refusal = {"type": "error", "id": "join", "content": {"code": 403, "message": "not for you"}}
            await connection.send(json.dumps(refusal))

    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        options = LoadOptions(url=f"ws://127.0.0.1:{port}/", clients=2, duration=0.1, scenarios=("room",))
        with pytest.raises(LoadTestError, match="not for you"):
            await run(options, mint=None, progress=NoProgress())
