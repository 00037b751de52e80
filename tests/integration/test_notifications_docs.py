"""Every Python and redis-cli example of docs/publishing.md runs, and the bridge takes what it sends."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from ginforge.embedded import EmbeddedValkey
from realtime import keys
from realtime.bridge.router import Routed, route
from realtime.conf import RealtimeSettings
from tests.integration.programs import ROOT, manage, passing_environment
from tests.integration.stack import production_environment

PAGE = (ROOT / "docs/publishing.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
DJANGO = re.findall(r"^```python django\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SHELL = re.findall(r"^(redis-cli .*)$", PAGE, re.MULTILINE)


class Ingress:
    """Hears everything that is sent to the gateway."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self._listener = client.pubsub()
        self._listener.psubscribe(keys.INGRESS_PATTERN)
        assert self._listener.get_message(timeout=5)

    def routed(self) -> list[Routed]:
        """Return what came, as the bridge would pass it on; raises ``Refused`` for what it would not take."""
        entries: Any = self.client.xrange(keys.INGRESS_STREAM)
        came: list[Any] = [(fields[b"channel"], fields[b"message"]) for _, fields in entries]
        while message := self._listener.get_message(timeout=0.2):
            came.append((message["channel"], message["data"]))
        return [route(channel, payload, RealtimeSettings()) for channel, payload in came]


@pytest.fixture
def ingress(valkey: EmbeddedValkey) -> Iterator[Ingress]:
    with redis.Redis.from_url(valkey.url) as client:
        yield Ingress(client)


def test_the_page_has_its_examples():
    assert (len(PYTHON), len(DJANGO), len(SHELL)) == (4, 2, 4)


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_a_python_example_runs_with_the_redis_url_alone(valkey, ingress, code):
    environment = {**passing_environment(), "REDIS_URL": valkey.url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert ingress.routed()


@pytest.mark.parametrize("code", DJANGO, ids=range(len(DJANGO)))
def test_a_django_example_runs_in_the_project(valkey, ingress, code, tmp_path: Path, migrated_database: Path):
    shutil.copy(migrated_database, tmp_path / "db.sqlite3")
    env = production_environment(REDIS_URL=valkey.url, DATABASE_URL=f"sqlite:///{tmp_path / 'db.sqlite3'}")
    manage("shell", "--no-imports", "-c", code, env=env)
    manage("relayoutbox", "--once", env=env)
    assert len(ingress.routed()) >= 2


@pytest.mark.parametrize("line", SHELL, ids=range(len(SHELL)))
def test_a_redis_cli_example_is_taken_by_the_bridge(ingress, line):
    ingress.client.execute_command(*shlex.split(line)[1:])
    assert ingress.routed()
