"""A crowd of WebSocket clients on one event loop, built on picows: some 200,000 messages a second on one core."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from picows import WSCloseCode, WSError, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from realtime.loadtest.histogram import Histogram

Receive = Callable[["Client", bytes, float], None]
"""Called for every text message after the ready one: client, payload, ``time.perf_counter()``."""

_quiet = logging.getLogger("realtime.loadtest.sockets")
_quiet.setLevel(logging.WARNING)  # picows writes a line per connection otherwise
_WELCOME: Final = b'"welcome"'
_LARGEST_MESSAGE: Final = 16 * 1024 * 1024
_LARGEST_FRAME_BUFFER: Final = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """How one client reaches the server."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    user_id: str = ""
    source: str = ""
    """Local address to connect from; empty lets the system choose."""


@dataclass(slots=True, kw_only=True)
class Connected:
    """Result of opening many connections."""

    opened: int = 0
    seconds: float = 0.0
    latency: Histogram = field(default_factory=Histogram)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Connections a second."""
        return self.opened / self.seconds if self.seconds else 0.0


class Client(WSListener):
    """One connection; ``on_message`` of its crowd hears what it receives."""

    __slots__ = ("_ready", "close_code", "crowd", "index", "key", "transport", "user_id", "welcomed")

    def __init__(self, crowd: Crowd, index: int, user_id: str) -> None:
        self.crowd = crowd
        self.index = index
        self.user_id = user_id
        self.key: Any = None
        """Free for the scenario: what this client is a member of, for example."""
        self.transport: WSTransport | None = None
        self.close_code = 0
        """What the server closed with; 1006 when it did not say, 0 while open."""
        self.welcomed = False
        self._ready: asyncio.Future[None] | None = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport; a server without a welcome is ready now."""
        self.transport = transport
        if not self.crowd.expect_welcome:
            self._set_ready()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass text on to the crowd; note a close code."""
        at = time.perf_counter()
        if frame.msg_type == WSMsgType.TEXT:
            if self.welcomed:
                self.crowd.on_message(self, frame.get_payload_as_bytes(), at)
            else:
                self._first(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            payload = frame.get_payload_as_bytes()
            self.close_code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()

    def _first(self, payload: bytes) -> None:
        if _WELCOME in payload:
            if not self.user_id:
                self.user_id = str(_dig(payload, "data", "user_id") or "")
            self._set_ready()
        elif b'"error"' in payload and self._ready is not None and not self._ready.done():
            self._ready.set_exception(Refused(str(_dig(payload, "content", "message") or "refused")))

    def _set_ready(self) -> None:
        self.welcomed = True
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 (picows' signature)
        """Tell the crowd, and whoever still waits for the welcome."""
        self.close_code = self.close_code or 1006
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(Refused(f"closed with {self.close_code} before the welcome"))
        self.crowd.lose(self)

    async def wait_ready(self, timeout: float) -> None:
        """Wait for the welcome; raises ``Refused`` or ``TimeoutError``."""
        if self._ready is not None:
            await asyncio.wait_for(self._ready, timeout)
            self._ready = None

    def send(self, text: bytes) -> None:
        """Send one text message; nothing happens on a closed connection."""
        if self.transport is not None and not self.close_code:
            self.transport.send(WSMsgType.TEXT, text)


class Refused(Exception):
    """The server let the socket open but not the client in."""


class Crowd:
    """All clients of one load; ``dial`` says how client number i connects."""

    def __init__(
        self,
        dial: Callable[[int], Dial],
        *,
        expect_welcome: bool = True,
        timeout: float = 30.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.clients: list[Client] = []
        self.expect_welcome = expect_welcome
        self.on_message: Receive = _ignore
        self.closed: Counter[int] = Counter()
        """Close codes of connections that ended before ``close``."""
        self._dial = dial
        self._timeout = timeout
        self._tls = tls
        self._closing = False

    async def connect(
        self,
        count: int,
        *,
        concurrency: int = 64,
        rate: float = 0.0,
        progress: Callable[[Connected], None] = lambda _: None,
    ) -> Connected:
        """Open ``count`` more connections, ``concurrency`` at once, at most ``rate`` a second (0: no limit)."""
        result = Connected()
        start = time.perf_counter()
        first = len(self.clients) + sum(result.failures.values())
        indexes = iter(range(first, first + count))

        async def worker() -> None:
            for index in indexes:
                if rate:
                    await asyncio.sleep(start + (index - first) / rate - time.perf_counter())
                await self._open(index, result)
                result.seconds = time.perf_counter() - start
                progress(result)

        await asyncio.gather(*(worker() for _ in range(min(concurrency, count))))
        result.seconds = time.perf_counter() - start
        return result

    async def _open(self, index: int, result: Connected) -> None:
        dial = self._dial(index)
        begun = time.perf_counter()
        try:
            client = await self._handshake(dial, index)
        except (OSError, WSError, Refused, TimeoutError) as error:
            result.failures[describe(error)] += 1
            return
        result.latency.add(time.perf_counter() - begun)
        result.opened += 1
        self.clients.append(client)

    async def _handshake(self, dial: Dial, index: int) -> Client:
        local: dict[str, Any] = {"local_addr": (dial.source, 0)} if dial.source else {}
        _, listener = await ws_connect(
            lambda: Client(self, index, dial.user_id),
            dial.url,
            ssl_context=self._tls,
            logger_name=_quiet,
            websocket_handshake_timeout=self._timeout,
            extra_headers=dial.headers,
            max_redirects=0,
            max_frame_size=_LARGEST_MESSAGE,
            read_buffer_init_size=_LARGEST_FRAME_BUFFER,
            **local,
        )
        assert isinstance(listener, Client)
        try:
            await listener.wait_ready(self._timeout)
        except BaseException:
            if listener.transport is not None:
                listener.transport.disconnect(graceful=False)
            raise
        return listener

    def lose(self, client: Client) -> None:
        """Count a connection that the other side ended."""
        if not self._closing and client.welcomed:
            self.closed[client.close_code] += 1

    @property
    def alive(self) -> Iterator[Client]:
        """Clients whose connection is open."""
        return (client for client in self.clients if not client.close_code)

    async def close(self) -> None:
        """End all connections, in batches, so that the event loop stays responsive."""
        self._closing = True
        for number, client in enumerate(self.clients):
            if client.transport is not None:
                client.transport.disconnect(graceful=False)
            if number % 200 == 199:
                await asyncio.sleep(0)
        self.clients.clear()
        await asyncio.sleep(0)
        self._closing = False


def describe(error: BaseException) -> str:
    """Return one line a person can act on for a connection that failed."""
    if isinstance(error, WSHandshakeError):
        status = getattr(getattr(error, "response", None), "status", None)
        return f"HTTP {int(status)} instead of an upgrade" if status else f"handshake failed: {error}"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error} (--insecure skips the check of the certificate)"
    if isinstance(error, TimeoutError):
        return "timed out"
    return str(error) or type(error).__name__


def _dig(payload: bytes, *names: str) -> Any:
    try:
        value = json.loads(payload)
        for name in names:
            value = value[name]
    except (ValueError, KeyError, TypeError):
        return None
    return value


def _ignore(client: Client, payload: bytes, at: float) -> None:
    """Take a message nobody asked for."""
