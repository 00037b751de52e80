"""The services of docs/examples run, and a client of the gateway sees what they publish."""

from __future__ import annotations

import ast
import http.client
import json
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ginforge.embedded import free_port
from realtime.bridge.router import route
from realtime.conf import RealtimeSettings
from tests.integration.clients import Client
from tests.integration.programs import ROOT, Program, passing_environment
from tests.integration.stack import Stack

EXAMPLES = ROOT / "docs" / "examples"


def environment(stack: Stack, **more: str) -> dict[str, str]:
    return {**passing_environment(), "REDIS_URL": stack.redis_url, "PYTHONPATH": str(ROOT), **more}


def leftovers(directory: Path) -> list[Path]:
    return list(directory.glob(".*.part"))


def call(method: str, url: str, body: Any = None) -> int:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=data, method=method), timeout=20) as answer:
        status: int = answer.status
        return status


@pytest.fixture
def admin_api(stack: Stack, tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "admin_api"
    shutil.copytree(EXAMPLES / "admin_api", folder, ignore=shutil.ignore_patterns("__pycache__"))
    env = environment(stack, DATABASE_PATH=str(tmp_path / "admin.sqlite3"))
    command = [sys.executable, "manage.py"]
    subprocess.run([*command, "migrate", "--verbosity", "0"], env=env, cwd=folder, check=True, timeout=120)
    port = free_port()
    serve = [*command, "runserver", "--noreload", f"127.0.0.1:{port}"]
    with Program("admin-api", serve, env, cwd=folder) as program:
        program.wait_for_log("Starting development server")
        yield f"http://127.0.0.1:{port}/api/v1/admin/users/"


async def test_the_admin_api_tells_of_committed_changes_only(stack: Stack, admin_api: str):
    def changes() -> list[tuple[str, Any]]:
        contents = [c for c in client.contents("data_update") if c["entity"] == "user"]
        return [(content["action"], content["data"]["username"]) for content in contents]

    async with Client(stack.ws("admin-list")) as client:
        assert call("POST", admin_api, {"username": "ada"}) == 201
        with pytest.raises(urllib.error.HTTPError):  # the name is taken: rolled back, and nobody is told
            call("POST", admin_api, {"username": "ada"})
        assert call("PATCH", f"{admin_api}1/", {"username": "eve"}) == 200
        assert call("DELETE", f"{admin_api}1/") == 204
        await client.until(lambda: len(changes()) >= 3, "three changes")
        assert changes() == [("create", "ada"), ("update", "eve"), ("delete", "eve")]


async def test_the_file_api_streams_the_progress_of_an_upload(stack: Stack, tmp_path: Path):
    port = free_port()
    command = [sys.executable, str(EXAMPLES / "file_api" / "file_api.py"), str(port), str(tmp_path)]
    with Program("file-api", command, environment(stack)) as service:
        service.wait_for_log("listening")
        async with Client(stack.ws("filer")) as client:
            upload = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            upload.putrequest("PUT", "/api/v1/files/film.bin?user=filer")
            upload.putheader("Content-Length", "300000")
            upload.endheaders()
            upload.send(b"x" * 100_000)
            first = (await client.wait_for("data_update"))[0]["content"]
            assert (first["entity"], first["action"], first["id"]) == ("upload", "progress", "film.bin")
            upload.send(b"x" * 200_000)
            assert upload.getresponse().status == 201
            (told,) = await client.wait_for("notification")
            assert told["content"]["title"] == "Upload complete"
            last = client.contents("data_update")[-1]
            assert (last["action"], last["data"]["percent"]) == ("done", 100)
        assert (tmp_path / "film.bin").stat().st_size == 300_000
        assert not leftovers(tmp_path)


async def test_the_order_service_notifies_now_and_queues_the_reminder(stack: Stack):
    script = str(EXAMPLES / "order_service" / "order_service.py")

    def run(*arguments: str) -> None:
        command = [sys.executable, script, *arguments]
        subprocess.run(command, env=environment(stack), check=True, timeout=60)

    async with Client(stack.ws("buyer")) as client:
        run("place", "7", "buyer")
        run("paid", "7", "buyer")
        (placed,) = await client.wait_for("notification")
        assert placed["data"]["notification_id"] == "order:7:placed"
        await client.until(lambda: len(client.of_type("data_update")) >= 2, "two updates of the order")
    with stack.redis() as redis:  # no worker runs here: test_worker shows what it makes of them
        queued: Any = redis.lrange("ginforge:celery:celery", 0, -1)
        redis.delete("ginforge:celery:celery")
    tasks = {json.loads(message)["headers"]["task"] for message in queued}
    assert tasks == {"job.schedule", "user.notification"}


def published(text: str, channel: str, message: str) -> list[tuple[str, str]]:
    return [(found[1], found[2]) for found in re.finditer(rf"{channel}.*?{message}", text, re.DOTALL)]


def test_the_go_example_names_channels_and_messages_that_the_bridge_takes():
    text = (EXAMPLES / "go" / "publish.go").read_text(encoding="utf-8")
    pairs = published(text, r'"(websocket:[^"]+)"', r"`(\{[^`]+\})`")
    assert len(pairs) == 5
    for channel, message in pairs:
        assert isinstance(json.loads(message), dict)
        route(channel.encode(), message.encode(), RealtimeSettings())
    assert text.count("{") == text.count("}")
    assert not [line for line in text.splitlines() if line.startswith("  ")], "gofmt indents with tabs"


def test_the_node_example_is_valid_and_names_channels_that_the_bridge_takes():
    node = shutil.which("node")
    path = EXAMPLES / "node" / "publish.mjs"
    if node is not None:
        subprocess.run([node, "--check", str(path)], check=True, timeout=60)
    text = path.read_text(encoding="utf-8")
    pairs = published(text, r'"(websocket:[^"]+)"', r"(\{ type: .*?\})(?=\)[;,])")
    assert len(pairs) == 5
    for channel, literal in pairs:
        # Names of keys get quotes; nothing else of JavaScript is used in the messages.
        message = ast.literal_eval(re.sub(r"(\w+):(?= )", r'"\1":', literal))
        route(channel.encode(), json.dumps(message).encode(), RealtimeSettings())
