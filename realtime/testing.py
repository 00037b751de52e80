"""Test your project against a real gateway: a pytest plugin and a scripted client.

Installed as a pytest plugin, so that this is a whole test::

    async def test_a_paid_order_is_told(realtime_gateway):
        async with realtime_gateway.connect("alice") as alice:
            my_service.pay(order)          # publishes to realtime_gateway.redis_url
            await alice.expect("data_update", content={"entity": "order", "action": "paid"})

The gateway, its bridge and an embedded Valkey are real processes on free ports, started once per test run. Needs the
extras ``gateway``, ``embedded`` and ``testing``. pytest loads this module wherever it is
installed, so it imports little.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import msgspec
import pytest

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_START_SECONDS: Final = 60.0
_PATIENCE: Final = 5.0
_READY: Final = re.compile(r"^\s*Redis\s+(redis://\S+)", re.MULTILINE)


class NotReceived(AssertionError):
    """What was expected did not come in time; the message lists what came instead."""


class _Ended(NotReceived):
    """The server closed the connection before it came."""


class GatewayNotStarted(RuntimeError):
    """The gateway ended, or was not ready in time; the message holds the end of its output."""


class ScriptedClient:
    """A WebSocket client for tests: says what it is told, and waits for what it is told to expect.

    Messages that nobody has asked for yet are kept, in order, in ``received``.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self.received: list[dict[str, Any]] = []
        self.welcome: dict[str, Any] = {}

    async def send(self, message_type: str, **fields: Any) -> None:
        """Send one message with these fields (``content``, ``to``, ``room``, ``id`` …)."""
        await self._connection.send(msgspec.json.encode({"type": message_type, **fields}).decode())

    async def request(self, message_type: str, *, timeout: float = _PATIENCE, **fields: Any) -> dict[str, Any]:
        """Send one message with an id and return its ``ack`` or ``error``."""
        request = secrets.token_hex(6)
        await self.send(message_type, id=request, **fields)
        return await self._find(
            lambda m: m["type"] in ("ack", "error") and m.get("id") == request, "an answer", timeout
        )

    async def join(self, room: str) -> dict[str, Any]:
        """Join a room and return the content of the ``ack``; fails with the server's error."""
        answer = await self.request("join_room", content=room)
        assert answer["type"] == "ack", answer["content"]
        content: dict[str, Any] = answer["content"]
        return content

    async def expect(self, message_type: str, *, timeout: float = _PATIENCE, **fields: Any) -> dict[str, Any]:
        """Wait for a message of this type whose fields hold at least ``fields``; raises ``NotReceived``.

        Dictionaries match when they hold the expected keys: ``content={"entity": "order"}`` fits any order.
        """
        wanted = {"type": message_type, **{name.rstrip("_"): value for name, value in fields.items()}}
        return await self._find(lambda message: _holds(message, wanted), repr(wanted), timeout)

    async def expect_nothing(self, message_type: str, *, within: float = 0.3, **fields: Any) -> None:
        """Make sure that no such message comes within so many seconds."""
        try:
            message = await self.expect(message_type, timeout=within, **fields)
        except NotReceived:
            return
        raise AssertionError(f"unexpected: {message}")

    async def closed(self, *, timeout: float = _PATIENCE) -> int:
        """Wait until the server closes the connection; returns the close code."""
        with contextlib.suppress(_Ended):
            await self._find(lambda _: False, "end of the connection", timeout)
        code = self._connection.close_code
        return 1006 if code is None else code

    async def _find(self, fits: Any, what: str, timeout: float) -> dict[str, Any]:
        for earlier in self.received:
            if fits(earlier):
                self.received.remove(earlier)
                return earlier
        from websockets.exceptions import ConnectionClosed

        try:
            async with asyncio.timeout(timeout):
                while True:
                    message: dict[str, Any] = msgspec.json.decode(await self._connection.recv())
                    if fits(message):
                        return message
                    self.received.append(message)
        except TimeoutError:
            raise NotReceived(f"no {what} within {timeout:g} s; received: {self.received[-10:]}") from None
        except ConnectionClosed:
            code = self._connection.close_code
            raise _Ended(f"no {what}: closed with {code}; received: {self.received[-10:]}") from None


def _holds(actual: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict) and isinstance(actual, dict):
        return all(key in actual and _holds(actual[key], value) for key, value in wanted.items())
    return bool(actual == wanted)


class RealtimeGateway:
    """A gateway under test, with its bridge and an embedded Valkey; a context manager.

    ``url`` is its HTTP address, ``ws_url`` the WebSocket's, ``redis_url`` where services publish.
    """

    def __init__(self, **environment: str) -> None:
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws"
        self.redis_url = ""
        self._key = secrets.token_urlsafe(48)
        self._environment = environment
        self._directory = tempfile.TemporaryDirectory(prefix="ginforge-testing-")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start everything and wait until it serves; raises ``GatewayNotStarted``."""
        directory = Path(self._directory.name)
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "ginforge.settings",
            "ENV_FILE": "",
            "HOST": "127.0.0.1",
            "PORT": str(self.port),
            "DEVELOPMENT_DIR": str(directory),
            "DATABASE_URL": f"sqlite:///{directory / 'db.sqlite3'}",
            "JWT_SIGNING_KEY": self._key,
            "SECRET_KEY": secrets.token_urlsafe(48),
            "NO_COLOR": "1",
            **self._environment,
        }
        environment.pop("REDIS_URL", None)
        log = directory / "output.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ginforge.supervisor", "--follow-parent"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + _START_SECONDS
        while (found := _READY.search(log.read_text(errors="replace"))) is None:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise GatewayNotStarted(log.read_text(errors="replace")[-3000:])
            time.sleep(0.05)
        self.redis_url = found[1]

    def stop(self) -> None:
        """Stop everything."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def token(self, user_id: str, *, ttl: float = 3600, **claims: Any) -> str:
        """Mint an access token; further claims (``username``, ``is_staff``, ``rooms``) as keywords."""
        import jwt

        now = int(time.time())
        payload = {"token_type": "access", "user_id": user_id, "iat": now, "exp": int(now + ttl), **claims}
        return jwt.encode({"jti": secrets.token_hex(16), **payload}, self._key, algorithm="HS256")

    @contextlib.asynccontextmanager
    async def connect(self, user_id: str, **claims: Any) -> AsyncIterator[ScriptedClient]:
        """Connect as a user; the client has been welcomed when the block begins."""
        from websockets.asyncio.client import connect

        headers = {"Authorization": f"Bearer {self.token(user_id, **claims)}"}
        async with connect(self.ws_url, additional_headers=headers, max_size=None) as connection:
            client = ScriptedClient(connection)
            client.welcome = await client.expect("welcome")
            yield client

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self._directory.cleanup()
            raise
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()
        self._directory.cleanup()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def realtime_gateway() -> Iterator[RealtimeGateway]:
    """Give a running gateway that all tests share; use users and rooms of your own."""
    with RealtimeGateway() as gateway:
        yield gateway


@pytest.fixture
def own_realtime_gateway() -> Iterator[RealtimeGateway]:
    """Give a running gateway that belongs to this test alone."""
    with RealtimeGateway() as gateway:
        yield gateway
