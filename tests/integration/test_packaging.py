"""The package, installed as another project would install it, carries everything that project needs."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from websockets.asyncio.client import connect

from ginforge.embedded import EmbeddedValkey, free_port
from tests.integration.programs import ROOT, Program, wait_until

pytestmark = pytest.mark.integration

EXAMPLE = ROOT / "docs" / "examples" / "minimal"
SECRET = "packaging-test-secret-0123456789-abcdefghijkl"


def run(*command: str | Path, **env: str) -> str:
    done = subprocess.run(
        list(map(str, command)), env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from what git would give another person."""
    source = tmp_path_factory.mktemp("source")
    files = run("git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    target = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", target, source)
    return next(target.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a folder of its own; its dependencies are this environment's."""
    target = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel)
    return target


@pytest.fixture
def project(installed: Path, tmp_path: Path) -> Iterator[tuple[Path, dict[str, str], int]]:
    """Give a copy of the example project, served from the installed package: folder, environment, port."""
    folder = tmp_path / "minimal"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite3"))
    with EmbeddedValkey() as valkey:
        env = {
            "PYTHONPATH": str(installed),
            "REDIS_URL": valkey.url,
            "SECRET_KEY": SECRET,
            "DATABASE_PATH": str(tmp_path / "db.sqlite3"),
        }
        manage = [sys.executable, "manage.py"]
        with Program("migrate", [*manage, "migrate", "--verbosity", "0"], env, cwd=folder) as migrate:
            assert migrate.wait() == 0, migrate.log
        port = free_port()
        gateway = [*manage, "rungateway", "--port", str(port)]
        with Program("bridge", [*manage, "runbridge"], env, cwd=folder), Program("gateway", gateway, env, cwd=folder):
            wait_until(lambda: _status(f"http://127.0.0.1:{port}/readyz") == 200, "the example to serve")
            yield folder, env, port


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except OSError:
        return 0


def _post(url: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=10) as answer:
        assert answer.status == 200


async def test_another_project_serves_and_notifies(project: tuple[Path, dict[str, str], int]) -> None:
    _, _, port = project
    token = jwt.encode({"user_id": "42", "token_type": "access", "exp": time.time() + 60}, SECRET, algorithm="HS256")
    async with connect(f"ws://127.0.0.1:{port}/ws?token={token}") as socket:
        assert json.loads(await socket.recv())["type"] == "welcome"
        await asyncio.to_thread(_post, f"http://127.0.0.1:{port}/orders/7/pay/42/")
        kinds: set[str] = set()
        async with asyncio.timeout(10):
            while not {"notification", "data_update"} <= kinds:
                message = json.loads(await socket.recv())
                if message["type"] == "notification":
                    assert message["content"]["title"] == "Paid"
                kinds.add(message["type"])


def test_the_package_brings_templates_texts_and_the_browser_client(installed: Path) -> None:
    for name in (
        "realtime/static/realtime/client.js",
        "realtime/static/realtime/client.d.ts",
        "realtime/templates/realtime/console.html",
        "realtime/locale/zh_Hans/LC_MESSAGES/django.mo",
        "notifications/locale/zh_Hans/LC_MESSAGES/django.mo",
        "realtime/py.typed",
        "notifications/py.typed",
    ):
        assert (installed / name).is_file(), name
    assert not (installed / "tests").exists()


def test_the_publishing_client_needs_no_django(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel)
    listed = {row["name"].lower() for row in json.loads(run(python, "-m", "pip", "list", "--format", "json"))}
    assert not listed & {"django", "channels", "daphne", "djangorestframework"}
    with EmbeddedValkey() as valkey:
        code = "import notifications as n; print(n.send_notification('42', 'Hi', 'there'), n.is_user_online('42'))"
        assert run(python, "-c", code, REDIS_URL=valkey.url).strip().endswith("False")
