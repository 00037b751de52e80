"""One ``make run``: the order of its start, and its end."""

from __future__ import annotations

import asyncio
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ginforge.embedded import free_port, serving_process, valkey_command
from ginforge.supervisor.banner import banner
from ginforge.supervisor.child import Command
from ginforge.supervisor.data_directory import DataDirectory
from ginforge.supervisor.login import Login, development_login
from ginforge.supervisor.output import PrefixedOutput
from ginforge.supervisor.plan import ROOT, CannotRun, Plan
from ginforge.supervisor.supervisor import NAME, Supervisor

MANAGE: Final = [sys.executable, str(ROOT / "manage.py")]
READY_SECONDS: Final = 60.0


class Development:
    """One ``make run``, from the start to the last child's end."""

    def __init__(self, plan: Plan, output: PrefixedOutput | None = None) -> None:
        self._plan = plan
        self._output = output or PrefixedOutput()
        self._supervisor = Supervisor(self._output.line)
        self._stop_requested = asyncio.Event()
        self._stop_requests = 0

    def request_stop(self) -> None:
        """Stop in order; when asked again, kill."""
        self._stop_requests += 1
        if self._stop_requests > 1:
            self._supervisor.kill()
        else:
            self._output.line(NAME, "stopping (once more to kill)")
        self._stop_requested.set()

    async def run(self) -> None:
        """Start everything, then wait for ``request_stop``.

        Raises ``ChildFailed`` when a child is given up, ``CannotRun`` when the database is out of reach; all children
        are gone afterwards in every case.
        """
        with DataDirectory(self._plan.state / "valkey") as data:
            start = asyncio.create_task(self._start(data))
            ends = [asyncio.create_task(self._stop_requested.wait()), asyncio.create_task(self._supervisor.wait())]
            try:
                await asyncio.wait([start, *ends], return_when=asyncio.FIRST_COMPLETED)
                if start.done():
                    start.result()
                    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if ends[1].done():
                    ends[1].result()
            finally:
                for task in (start, *ends):
                    task.cancel()
                await self._supervisor.stop()

    async def _start(self, data: Path) -> None:
        redis_url = self._plan.redis_url or await self._start_valkey(data)
        os.environ["REDIS_URL"] = redis_url
        login = await asyncio.to_thread(_migrate, self._plan)
        address = ["--host", self._plan.host, "--port", str(self._plan.port)]
        self._supervisor.start(
            [
                Command(name="bridge", arguments=[*MANAGE, "runbridge"], cwd=str(ROOT)),
                Command(name="gateway", arguments=[*MANAGE, "rungateway", *address], cwd=str(ROOT)),
            ]
        )
        await self._announce(redis_url, login)

    async def _start_valkey(self, data: Path) -> str:
        port = free_port()
        arguments = valkey_command(port=port, directory=data, persist=True)
        self._supervisor.start([Command(name="valkey", arguments=arguments)])
        await _until(lambda: serving_process(port) is not None)
        return f"redis://127.0.0.1:{port}/0"

    async def _announce(self, redis_url: str, login: Login | None) -> None:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await _until(lambda: _readiness(self._plan.url) is None)
        except TimeoutError:
            reason = await asyncio.to_thread(_readiness, self._plan.url)
            self._output.line(NAME, f"not ready after {READY_SECONDS:.0f} s, still trying: {reason}")
            await _until(lambda: _readiness(self._plan.url) is None)
        self._output.plain(banner(self._plan, redis_url, login))


async def _until(condition: Callable[[], bool]) -> None:
    while not await asyncio.to_thread(condition):
        await asyncio.sleep(0.1)


def _readiness(url: str) -> str | None:
    """Return None when ``/readyz`` says ready, else what it says instead."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5):  # noqa: S310 (our own http URL)
            return None
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read(500).decode(errors='replace')}"
    except OSError as error:
        return str(error)


def _migrate(plan: Plan) -> Login | None:
    """Bring the database up to date; with DEBUG also make sure of the development login."""
    import django
    from django.core.management import call_command

    django.setup()
    from django.db import Error  # needs the settings

    try:
        call_command("migrate", verbosity=0, interactive=False)
    except Error as error:
        first_line = str(error).strip().partition("\n")[0]
        raise CannotRun(f"the database cannot be brought up to date: {first_line}") from error
    return development_login(plan.state) if plan.debug else None
