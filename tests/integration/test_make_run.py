"""``make run``, as a developer has it: one command, everything up; Ctrl-C, nothing left."""

from __future__ import annotations

import os
import re
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from websockets.sync.client import connect

from ginforge.embedded import EmbeddedValkey, free_port
from tests.integration.programs import Program, wait_until
from tests.integration.stack import get

SUPERVISOR = [sys.executable, "-m", "ginforge.supervisor"]
READY = "GinForge is ready"


class Run(Program):
    """One ``make run`` with a port, a database and a state directory of its own."""

    def __init__(self, command: list[str], directory: Path, **env: str) -> None:
        self.port = int(env.pop("PORT", "0")) or free_port()
        self.marker = uuid.uuid4().hex
        own = {
            "PORT": str(self.port),
            "ENV_FILE": "",
            "DATABASE_URL": f"sqlite:///{directory / 'db.sqlite3'}",
            "DEVELOPMENT_DIR": str(directory / "dev"),
            "TEST_MARKER": self.marker,
        }
        super().__init__("run", command, {**own, **env})

    def told(self, label: str) -> str:
        """Return what the banner says behind ``label``."""
        found = re.search(rf"^  {re.escape(label)}\s+(\S.*)$", self.log, re.MULTILINE)
        assert found, self.log
        return found[1]

    def processes(self, text: str = "") -> list[int]:
        """Return the ids of all processes of this run whose command line holds ``text``; zombies do not count."""
        return [
            int(folder.name)
            for folder in Path("/proc").iterdir()
            if folder.name.isdigit() and self._owns(folder) and text in _read(folder / "cmdline").replace("\0", " ")
        ]

    def _owns(self, folder: Path) -> bool:
        return self.marker in _read(folder / "environ")

    def is_ready(self) -> bool:
        """Say whether the gateway answers that it is ready."""
        return get(f"http://127.0.0.1:{self.port}/readyz")[0] == 200

    def assert_nothing_is_left(self) -> None:
        """Wait for the last process of this run to be gone."""
        wait_until(lambda: not self.processes(), "all processes to be gone", timeout=20)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Give ``run(command=SUPERVISOR, **env) -> Run``, waited for unless ``ready=False``."""
    runs: list[Run] = []

    def start(command: list[str] = SUPERVISOR, *, ready: bool = True, **env: Any) -> Run:
        program = Run(command, tmp_path, **env)
        runs.append(program)
        program.start()
        if ready:
            program.wait_for_log(READY, timeout=240)
        return program

    yield start
    for program in runs:
        program.close()
        program.assert_nothing_is_left()


def test_one_command_serves_and_ctrl_c_leaves_nothing(run: Callable[..., Run]) -> None:
    program = run(["make", "run"])
    with (
        connect(f"{program.told('WebSocket')}?token={program.told('Token (12 h)')}") as socket,
        redis.Redis.from_url(program.told("Redis").split()[0]) as client,
    ):
        assert '"type":"welcome"' in socket.recv(10)
        client.publish("websocket:broadcast", '{"type":"system","content":{"title":"Hello"}}')
        wait_until(lambda: '"Hello"' in socket.recv(10), "the broadcast")
    os.killpg(program.pid, signal.SIGINT)  # what a terminal does: make and the supervisor both get it
    program.wait()
    program.assert_nothing_is_left()
    assert "Traceback" not in program.log


def test_a_killed_bridge_comes_back(run: Callable[..., Run]) -> None:
    program = run()
    [bridge] = program.processes("runbridge")
    os.kill(bridge, signal.SIGKILL)
    program.wait_for_log("bridge ended (killed by signal 9), starting it again")
    wait_until(lambda: program.processes("runbridge") not in ([], [bridge]), "a new bridge")
    wait_until(program.is_ready, "readiness")


def test_nothing_outlives_a_supervisor_that_was_killed(run: Callable[..., Run]) -> None:
    program = run()
    assert len(program.processes()) >= 4
    program.signal(signal.SIGKILL)
    program.wait()
    program.assert_nothing_is_left()


def test_sigterm_is_an_orderly_end(run: Callable[..., Run]) -> None:
    program = run()
    assert program.terminate() == 0
    program.assert_nothing_is_left()


def test_tokens_and_the_login_outlive_a_restart(run: Callable[..., Run]) -> None:
    first = run()
    token, login = first.told("Token (12 h)"), first.told("Login")
    first.terminate()
    second = run()
    assert second.told("Login") == login
    with connect(f"{second.told('WebSocket')}?token={token}") as socket:
        assert '"type":"welcome"' in socket.recv(10)


def test_a_given_redis_is_used_and_no_other_started(run: Callable[..., Run], valkey: EmbeddedValkey) -> None:
    program = run(REDIS_URL=valkey.url)
    assert program.told("Redis") == "from REDIS_URL"
    assert "GinForge is ready" in program.log
    assert not program.processes("valkey-server")


def test_a_taken_port_ends_in_one_clear_line(run: Callable[..., Run], valkey: EmbeddedValkey) -> None:
    program = run(ready=False, PORT=str(valkey.port))
    assert program.wait() == 1
    [line] = program.log.strip().splitlines()
    assert f"cannot listen on 127.0.0.1:{valkey.port} (Address already in use)" in line


def test_a_database_out_of_reach_ends_in_one_clear_line(run: Callable[..., Run]) -> None:
    program = run(ready=False, DATABASE_URL=f"postgres://nobody@127.0.0.1:{free_port()}/nothing")
    assert program.wait() == 1
    assert program.log.strip().splitlines()[-1].startswith("ginforge: the database cannot be brought up to date")
    assert "Traceback" not in program.log


def test_a_valkey_that_never_starts_ends_the_run_with_its_last_lines(run: Callable[..., Run], tmp_path: Path) -> None:
    (tmp_path / "dev" / "valkey" / "appendonlydir").mkdir(parents=True)
    (tmp_path / "dev" / "valkey" / "appendonlydir" / "appendonly.aof.manifest").write_text("this is no manifest")
    program = run(ready=False)
    assert program.wait() == 1
    assert "valkey died 5 times within 60 s" in program.log
    assert "AOF MANIFEST FILE ERROR" in program.log.partition("its last lines")[2]


def test_production_without_secrets_ends_in_one_clear_line(run: Callable[..., Run]) -> None:
    program = run(ready=False, DEBUG="0")
    assert program.wait() == 1
    lines = [line for line in program.log.strip().splitlines() if not line.startswith(("valkey", "supervisor"))]
    assert len(lines) == 1
    assert "SECRET_KEY is missing" in lines[0]
