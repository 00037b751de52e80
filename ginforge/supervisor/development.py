"""What ``make run`` runs: the environment, the order of the start, and what it tells the developer."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import socket
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import environ

from ginforge.embedded import free_port, serving_process, valkey_command
from ginforge.supervisor.child import Command
from ginforge.supervisor.login import Login, development_login
from ginforge.supervisor.output import PrefixedOutput
from ginforge.supervisor.supervisor import NAME, Supervisor

ROOT: Final = Path(__file__).resolve().parents[2]
# Installed as a package there is no manage.py beside it.
MANAGE: Final = [sys.executable, *([str(ROOT / "manage.py")] if (ROOT / "manage.py").exists() else ["-m", "django"])]
READY_SECONDS: Final = 60.0
_REACHABLE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 (told apart, not bound)


class CannotRun(RuntimeError):
    """Something outside the project stands in the way; the message is one line for the developer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to start. ``redis_url`` is None when the embedded Valkey is to be used."""

    host: str
    port: int
    redis_url: str | None
    debug: bool
    state: Path
    """Where development keeps its secrets and the embedded Valkey's data."""

    @property
    def url(self) -> str:
        """Base URL to open in a browser on this machine."""
        host = _REACHABLE.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def prepare_environment() -> Plan:
    """Read ``.env`` and the environment, switch DEBUG on unless set, and check the port.

    Raises ``CannotRun`` when the port is taken.
    """
    env_file = os.environ.get("ENV_FILE", str(ROOT / ".env"))
    if env_file:
        environ.Env.read_env(env_file)
    os.environ.setdefault("DEBUG", "1")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ginforge.settings")
    os.environ["PYTHONUNBUFFERED"] = "1"
    env = environ.Env()
    host = env.str("HOST", default="127.0.0.1")
    try:
        port = env.int("PORT", default=8080) or free_port()
    except ValueError:
        raise CannotRun(f"PORT must be a number, not {os.environ['PORT']!r}") from None
    _check_port(host, port)
    redis_url = env.str("REDIS_URL", default="") or None
    state = Path(env.str("DEVELOPMENT_DIR", default=str(ROOT / ".dev")))
    return Plan(host=host, port=port, redis_url=redis_url, debug=env.bool("DEBUG", default=True), state=state)


def _check_port(host: str, port: int) -> None:
    try:
        family, kind, *_, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else "ports go up to 65535"
        raise CannotRun(f"cannot listen on {host}:{port} ({reason}); choose another port: make run PORT=8081") from None


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
        with _ValkeyDirectory(self._plan.state / "valkey") as data:
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


def banner(plan: Plan, redis_url: str, login: Login | None) -> str:
    """Return what the developer is told once the gateway is ready."""
    rows = [
        ("Console", f"{plan.url}/"),
        ("WebSocket", f"{plan.url.replace('http', 'ws', 1)}/ws"),
        ("Admin, API docs", f"{plan.url}/admin/  {plan.url}/api/docs/"),
        ("Redis", "from REDIS_URL" if plan.redis_url else f"{redis_url}  (embedded Valkey)"),
    ]
    if login:
        rows += [("Login", f"{login.username} / {login.password}"), ("Token (12 h)", login.token)]
    lines = "\n".join(f"  {label:<16} {value}" for label, value in rows)
    return f"\n  GinForge is ready. Ctrl-C stops it.\n\n{lines}\n\n  Publish:  {_publish_example(plan, redis_url)}\n"


def _publish_example(plan: Plan, redis_url: str) -> str:
    message = '\'{"type":"system","content":{"title":"Hello"}}\''
    if plan.redis_url:  # may hold a password, and several shards
        redis_url = '"${REDIS_URL%%,*}"'
    if shutil.which("redis-cli"):
        return f"redis-cli -u {redis_url} PUBLISH websocket:broadcast {message}"
    python = os.path.relpath(sys.executable)
    code = "import redis,sys; redis.Redis.from_url(sys.argv[1]).publish(*sys.argv[2:])"
    return f'{python} -c "{code}" {redis_url} websocket:broadcast {message}'


class _ValkeyDirectory:
    """The embedded Valkey's data: kept between runs; a second run at the same time gets a temporary one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: Any = None
        self._temporary: str | None = None

    def __enter__(self) -> Path:
        self._path.mkdir(parents=True, exist_ok=True)
        self._lock = (self._path / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._temporary = tempfile.mkdtemp(prefix="ginforge-valkey-")
            return Path(self._temporary)
        return self._path

    def __exit__(self, *details: object) -> None:
        self._lock.close()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)
