"""This project: on its own server, and the same application on uvicorn."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path

from ginforge.embedded import LOOPBACK, EmbeddedValkey
from tests.benchmarks.peers.base import JWT_KEY, Peer, Route, Running, Stage, local_port, serving
from tests.benchmarks.processes import Server

_ROOT = Path(__file__).parents[3]
_NO_ACCESS_LOG = ("--access-log", os.devnull)
_APPLICATION = "ginforge.asgi:application"


def environment(stage: Stage, redis_url: str) -> dict[str, str]:
    """Return the environment of the gateway and its bridge: production settings, warnings only in the log."""
    return {
        "REDIS_URL": redis_url,
        "DATABASE_URL": f"sqlite:///{stage.directory / 'bench.sqlite3'}",
        "SECRET_KEY": "benchmark-secret-key-of-at-least-32-bytes",
        "JWT_SIGNING_KEY": JWT_KEY,
        "ALLOWED_HOSTS": LOOPBACK,
        "DEBUG": "0",
        "ENV_FILE": "",
        "DJANGO_SETTINGS_MODULE": "ginforge.settings",
        "LOG_LEVEL": "WARNING",
        "REALTIME": json.dumps(dict(stage.gateway_settings)),
    }


def _ready(port: int) -> bool:
    """Ask the gateway whether its bridge is there too."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{LOOPBACK}:{port}/readyz", timeout=5) as answer:
        return bool(answer.status == HTTPStatus.OK)
    return False


class Project(Peer):
    """The gateway on ``ginforge.server`` with ``runbridge``: the whole path from PUBLISH to the socket."""

    name = "project"
    label = "This project"
    keeps_history = True
    note = "history, ids, presence, JWT and heartbeat on; off: news of who came and went, rate limit (no peer has them)"

    def versions(self, stage: Stage) -> dict[str, str]:
        """Return the versions of Daphne, Channels and Django."""
        return {name: version(name) for name in ("daphne", "channels", "channels-redis", "Django")}

    def command(self, port: int) -> list[str]:
        """Return the server's command line."""
        return [sys.executable, "-m", "ginforge.server", *_NO_ACCESS_LOG, "-b", LOOPBACK, "-p", str(port), _APPLICATION]

    @contextlib.contextmanager
    def start(self, stage: Stage) -> Iterator[Running]:
        """Migrate a fresh database, then run the bridge and the server."""
        port = local_port()
        manage = [sys.executable, str(_ROOT / "manage.py")]
        with EmbeddedValkey() as valkey:
            env = environment(stage, valkey.url)
            with Server([*manage, "migrate", "-v0"], log=stage.log("migrate"), env=env) as migration:
                migration.finish(60)
            with (
                Server([*manage, "runbridge"], log=stage.log(f"{self.name}-bridge"), env=env) as bridge,
                serving(self.command(port), stage=stage, name=self.name, port=port, env=env) as server,
            ):
                server.wait_until(lambda: _ready(port))
                url = f"ws://{LOOPBACK}:{port}/ws"
                route = Route(url=url, user_url=url, room_url=url, publish=valkey.url, token_key=JWT_KEY)
                yield Running(server, route, valkey, bridge)


class ProjectOnUvicorn(Project):
    """The same application on uvicorn: what the hub does without our server."""

    name = "uvicorn"
    label = "This project on uvicorn"
    note = "the same application; without our server every delivery goes through ASGI's send"

    def versions(self, stage: Stage) -> dict[str, str]:
        """Return the versions of uvicorn and what it drives."""
        return {name: version(name) for name in ("uvicorn", "uvloop", "websockets", "channels")}

    def command(self, port: int) -> list[str]:
        """Return the server's command line."""
        options = ["--host", LOOPBACK, "--port", str(port), "--log-level", "warning", "--no-access-log"]
        return [sys.executable, "-m", "uvicorn", *options, "--backlog", "4096", _APPLICATION]
