"""The browser client under Node: its packages, its own tests, and the client as a process against a real gateway."""

from __future__ import annotations

import fcntl
import filecmp
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests.integration.programs import ROOT, Program

JS = ROOT / "tests" / "js"
OLDEST = 20


def node_problem() -> str | None:
    """Say why Node cannot be used here; None when it can."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return f"the browser client's tests need Node {OLDEST} or newer, and npm"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    major = int(version.removeprefix("v").split(".")[0])
    return None if major >= OLDEST else f"the browser client's tests need Node {OLDEST} or newer; this is {version}"


def chromium() -> str | None:
    """Return the path of this machine's Chromium; ``CHROMIUM`` names another."""
    candidates = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    return next((path for name in candidates if name and (path := shutil.which(name))), None)


def install_packages() -> None:
    """Install the locked packages of ``tests/js`` when they changed; skips the test (fails it in CI) without Node."""
    problem = node_problem()
    if problem is not None:
        pytest.skip(problem)
    lock, installed = JS / "package-lock.json", JS / "node_modules" / "installed-lock.json"
    with lock.open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if installed.is_file() and filecmp.cmp(lock, installed, shallow=False):
            return
        done = run("npm", "ci", "--silent", "--no-audit", "--no-fund")
        assert done.returncode == 0, f"npm ci failed:\n{done.stdout}{done.stderr}"
        shutil.copy(lock, installed)


def run(*command: str, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
    """Run a command in ``tests/js`` and return what it wrote."""
    return subprocess.run(command, cwd=JS, capture_output=True, text=True, timeout=timeout, check=False)


class Driver(Program):
    """A script of ``tests/js`` that drives the client; what it sees is ``events``, in order."""

    def __init__(self, script: str, name: str, settings: Mapping[str, Any]) -> None:
        super().__init__(name, ["node", str(JS / script), json.dumps(settings)], cwd=JS)

    @property
    def events(self) -> list[dict[str, Any]]:
        """Everything told so far."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{") and line.endswith("}")]

    def of(self, event: str) -> list[dict[str, Any]]:
        """All events of one kind."""
        return [told for told in self.events if told["event"] == event]


class NodeClient(Driver):
    """The client in Node."""

    def __init__(self, url: str, *tokens: str, name: str = "node-client", **more: Any) -> None:
        super().__init__("driver.mjs", name, {"url": url, "tokens": tokens, **more})

    @property
    def state(self) -> str:
        """The last state told."""
        states = self.of("state")
        return str(states[-1]["state"]) if states else "idle"

    def contents(self, type_: str) -> list[Any]:
        """The contents of all messages of one type."""
        messages = [told["message"] for told in self.of("message")]
        return [message["content"] for message in messages if message["type"] == type_]


class Tabs(Driver):
    """Tabs of one Chromium that share a connection; ``port`` is that of their page."""

    def __init__(self, url: str, token: str, *, room: str, tabs: int, port: int) -> None:
        super().__init__(
            "tabs_driver.mjs", "tabs", {"url": url, "token": token, "room": room, "tabs": tabs, "port": port}
        )

    def close_first(self) -> None:
        """Close the first tab."""
        self.signal(signal.SIGUSR2)

    def numbers(self, tab: int, type_: str) -> list[int]:
        """``content.number`` of what a tab saw of one type."""
        contents = [told["content"] for told in self.of("message") if (told["tab"], told["type"]) == (tab, type_)]
        return [content["number"] for content in contents if "number" in content]

    def states(self) -> dict[int, str]:
        """The last state of each tab."""
        return {told["tab"]: told["state"] for told in self.of("state")}
