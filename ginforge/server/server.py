"""The server: Daphne's, with its own bookkeeping, timeouts and end."""

import asyncio
import gc
import logging
import signal
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from io import BytesIO
from typing import Any, cast

from daphne.server import Server
from twisted.internet import defer, tcp
from twisted.internet import reactor as _reactor
from twisted.internet.endpoints import serverFromString
from twisted.logger import ILogObserver, STDLibLogObserver, globalLogBeginner

from ginforge.server.balance import Balance, Share
from ginforge.server.body import BodyInbox
from ginforge.server.drain import Drain
from ginforge.server.heartbeat import Heartbeats
from ginforge.server.http import Front, GatewayHTTPFactory, GatewayRequest
from ginforge.server.inbox import Inbox
from ginforge.server.lifespan import Lifespan, StartupFailed
from ginforge.server.options import Options
from ginforge.server.runtime import runtime
from ginforge.server.transport import DirectTransport
from ginforge.server.websocket import GatewayWebSocket, GatewayWebSocketFactory

logger = logging.getLogger(__name__)
# Twisted types its reactor as the smallest interface that one may have.
reactor: Any = _reactor

# What ``await send()`` of a response body lets wait before it waits itself.
_RESPONSE_HIGH = 256 * 1024
_OPENED_PER_TURN = 8
_FULL_COLLECTION_SECONDS = 3600


class GatewayServer(Server):
    """Serves any ASGI application on Daphne's protocols; all arguments of Daphne's server, and ``Options``.

    ``ping_interval`` and ``ping_timeout``: seconds between pings, and of silence after which a peer is cut with 4408.
    """

    def __init__(
        self,
        *args: Any,
        options: Options | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.options = options or Options()
        # Seconds since the start. Connections keep references to this one number rather than times of their own.
        self.clock = 0
        self.ports: list[Any] = []
        self.requests: set[GatewayRequest] = set()
        self.websockets: set[GatewayWebSocket] = set()
        # Oldest first, with the clock at which our patience ends: those without a whole request yet, and those whose
        # handshake the application has not answered.
        self.unread: dict[Front, int] = {}
        self.waiting: dict[GatewayWebSocket, int] = {}
        self.opening: deque[tuple[GatewayWebSocket, dict[str, Any]]] = deque()
        balance = Balance.from_environment()
        self.share = Share(balance, self.loop, self._connections) if balance else None
        # Disconnected but with an application still running, oldest first.
        self.leaving: dict[Any, int] = {}
        self.heartbeats = Heartbeats(self)

    @property
    def trusts_proxy(self) -> bool:
        """Whether headers that only a proxy in front may set are believed (``--proxy-headers``)."""
        return bool(self.proxy_forwarded_address_header)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop under Twisted's reactor."""
        loop: asyncio.AbstractEventLoop = reactor._asyncioEventloop  # noqa: SLF001 (Twisted has no public name for it)
        return loop

    # Start and end

    def run(self) -> None:
        """Listen and serve until the process is told to stop."""
        asyncio.set_event_loop(self.loop)
        self.http_factory = GatewayHTTPFactory(self)
        self.ws_factory = GatewayWebSocketFactory(
            self,
            write_limit=self.options.write_limit,
            close_timeout=self.options.close_timeout,
            frame_rate=self.options.frame_rate,
        )
        self._log_twisted()
        self.lifespan = Lifespan(self.application)
        try:
            self.loop.run_until_complete(self.lifespan.startup())
        except StartupFailed as error:
            logger.critical("%s", error)
            self.abort_start = True
            return
        self.loop.call_later(1, self.tick)
        for description in self.endpoints:
            listener = self._listen(str(description))
            listener.addCallback(self.listen_success)
            listener.addErrback(self.listen_error)
            self.listeners.append(listener)
        if self.verbosity >= 3:
            self.loop.set_debug(True)
        self.drain = Drain(self)
        reactor.addSystemEventTrigger("before", "shutdown", self._drain)
        if self.signal_handlers:
            reactor.callWhenRunning(self._take_signals)
        if not self.abort_start:
            if self.ready_callable:
                self.ready_callable()
            _tune_collector()
            reactor.run(installSignalHandlers=self.signal_handlers)

    def _log_twisted(self) -> None:
        if self.verbosity <= 1:
            globalLogBeginner.beginLoggingTo(
                [cast("ILogObserver", _discard)], redirectStandardIO=False, discardBuffer=True
            )
        else:
            globalLogBeginner.beginLoggingTo([cast("ILogObserver", STDLibLogObserver(__name__))])

    def _listen(self, description: str) -> Any:
        kind, _, rest = description.partition(":")
        if kind == "fd":
            return defer.maybeDeferred(self._adopt, int(rest.removeprefix("fileno=")))
        if kind in ("tcp", "ssl") and "backlog=" not in rest:
            description += f":backlog={self.options.backlog}"
        return serverFromString(reactor, description).listen(self.http_factory)

    def _adopt(self, descriptor: int) -> Any:
        with socket.socket(fileno=socket.dup(descriptor)) as listening:
            listening.setblocking(False)
            return reactor.adoptStreamPort(descriptor, listening.family, self.http_factory)

    def listen_success(self, port: Any) -> None:
        """Remember a port, and have it make our transports."""
        if isinstance(port, tcp.Port):
            port.transport = cast("Any", DirectTransport)
        self.ports.append(port)
        if self.share is not None:
            self.share.ports.append(port)
        host = port.getHost()
        if hasattr(host, "port"):
            self.listening_addresses.append((host.host, host.port))
            logger.info("listening on %s:%d", host.host, host.port)
        else:
            logger.info("listening on %s", host)

    def _take_signals(self) -> None:
        """Drain at the first SIGTERM or SIGINT and cut the drain short at the second, where Twisted logs an error."""
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self.loop.add_signal_handler(number, self._asked_to_stop)

    def _asked_to_stop(self) -> None:
        if runtime.draining:
            self.drain.hurry()
        else:
            self.stop()

    def _drain(self) -> Any:
        return defer.Deferred.fromFuture(asyncio.ensure_future(self.drain.run(), loop=self.loop))

    # Applications

    def create_application(self, protocol: GatewayRequest, scope: dict[str, Any]) -> Inbox | None:
        """Start the application for an HTTP request and return its queue, or None if the client has gone."""
        if protocol not in self.requests:
            return None
        scope.setdefault("asgi", {"version": "3.0", "spec_version": "2.4"})
        inbox = BodyInbox(protocol.content)
        # What Daphne would read into memory; the body is the inbox's now.
        protocol.content = BytesIO()
        self._start(protocol, scope, inbox, partial(self.handle_reply, protocol))
        return inbox

    def start_websocket(self, protocol: GatewayWebSocket, scope: dict[str, Any]) -> None:
        """Start the application for a connection whose handshake is under way; in a storm, when its turn comes.

        A storm of connects would otherwise fill one turn of the event loop with a step of every new application, and
        hold up what is delivered to the connections there are.
        """
        self.opening.append((protocol, scope))
        if len(self.opening) == 1:
            self.loop.call_soon(self._open_some)

    def _open_some(self) -> None:
        for _ in range(min(_OPENED_PER_TURN, len(self.opening))):
            protocol, scope = self.opening.popleft()
            if protocol in self.waiting:
                self._start(protocol, scope, protocol.inbox, protocol.send)
        if self.opening:
            self.loop.call_soon(self._open_some)

    def _start(self, protocol: Any, scope: Any, inbox: Inbox, send: Callable[[Any], Awaitable[None]]) -> None:
        coroutine = self.application(scope, inbox.get, send)
        protocol.task = self.loop.create_task(coroutine, name="application")
        protocol.task.add_done_callback(partial(self._application_done, protocol))

    def _application_done(self, protocol: Any, task: asyncio.Task[None]) -> None:
        self.leaving.pop(protocol, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("Exception inside application: %s", error, exc_info=error)
        try:
            protocol.application_finished(error)
        except Exception:
            logger.exception("could not end %r", protocol)

    async def handle_reply(self, protocol: GatewayRequest, message: dict[str, Any]) -> None:
        """Handle an ASGI event for an HTTP request."""
        if protocol not in self.requests:
            return
        try:
            self.check_headers_type(message)
        except ValueError:
            protocol.basic_error(500, b"Server Error", "Server Error")
            raise
        protocol.handle_reply(message)
        if message.get("more_body"):
            await protocol.written(_RESPONSE_HIGH)

    # Connections

    def protocol_connected(self, protocol: GatewayRequest) -> None:
        """Note an HTTP request."""
        self.requests.add(protocol)

    def protocol_disconnected(self, protocol: GatewayRequest) -> None:
        """Note that an HTTP request was answered or its client went away."""
        if protocol in self.requests:
            self.requests.discard(protocol)
            self._left(protocol)

    def accepted(self, front: Front) -> None:
        """Note a connection that has not sent a whole request; of too many of these the oldest is cut."""
        self.unread[front] = self.clock + self.options.request_timeout
        if self.share is not None:
            self.share.check()
        if len(self.unread) > self.options.max_pending:
            oldest = next(iter(self.unread))
            del self.unread[oldest]
            oldest.transport.abortConnection()
            runtime.on_limit("pending_handshakes")

    def _connections(self) -> int:
        return len(self.websockets) + len(self.waiting) + len(self.unread)

    def handshaking(self, protocol: GatewayWebSocket) -> None:
        """Note a connection whose handshake has begun."""
        self.waiting[protocol] = self.clock + self.websocket_connect_timeout

    def may_open(self) -> bool:
        """Tell whether one more WebSocket may begin its handshake."""
        if len(self.waiting) > self.options.max_pending:
            runtime.on_limit("pending_handshakes")
            return False
        return not runtime.draining

    def websocket_opened(self, protocol: GatewayWebSocket) -> None:
        """Note an accepted connection and plan its first ping."""
        self.waiting.pop(protocol, None)
        self.websockets.add(protocol)
        runtime.open_sockets = len(self.websockets)
        self.heartbeats.add(protocol)
        self.log_socket(protocol, "connected")

    def websocket_lost(self, protocol: GatewayWebSocket) -> None:
        """Forget a connection; its application has a while to end."""
        self.waiting.pop(protocol, None)
        self.websockets.discard(protocol)
        runtime.open_sockets = len(self.websockets)
        self.heartbeats.discard(protocol)
        self.log_socket(protocol, "disconnected")
        self._left(protocol)

    def _left(self, protocol: Any) -> None:
        if protocol.task is not None and not protocol.task.done():
            self.leaving[protocol] = self.clock + self.application_close_timeout

    def log_socket(self, protocol: GatewayWebSocket, action: str) -> None:
        """Write a line to the access log."""
        if self.action_logger:
            self.log_action("websocket", action, {"path": protocol.path, "client": protocol.peer})

    def log_action(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Write a line to the access log, without the query: it may hold a token."""
        if self.action_logger:
            self.action_logger(protocol, action, {**details, "path": details["path"].partition("?")[0]})

    # Time

    def tick(self) -> None:
        """Once a second: pings, heartbeats and the end of everybody's patience. Never stops."""
        self.loop.call_later(1, self.tick)
        self.clock += 1
        for duty in (
            self._end_waiting,
            self._end_leaving,
            self.heartbeats.beat,
            self._end_requests,
            self._collect,
            self._beat,
        ):
            try:
                duty()
            except Exception:
                logger.exception("timeout check failed")

    def _end_waiting(self) -> None:
        for front in self._expired(self.unread):
            front.refuse(408)
            runtime.on_limit("header_time")
        if self.websocket_connect_timeout >= 0:
            for protocol in self._expired(self.waiting):
                protocol.refuse(503, b"Busy", [(b"Retry-After", b"1")])

    def _end_leaving(self) -> None:
        for protocol in self._expired(self.leaving):
            logger.warning("Application for %r took too long to shut down and was killed.", protocol)
            protocol.task.cancel()

    def _expired(self, deadlines: dict[Any, int]) -> Iterator[Any]:
        """Take out the entries, oldest first, whose time has come."""
        while deadlines:
            protocol, deadline = next(iter(deadlines.items()))
            if deadline > self.clock:
                return
            del deadlines[protocol]
            yield protocol

    def _end_requests(self) -> None:
        if self.http_timeout:
            for request in list(self.requests):
                request.check_timeouts()

    def _beat(self) -> None:
        if self.share is not None:
            self.share.check()

    def _collect(self) -> None:
        if self.clock % _FULL_COLLECTION_SECONDS == 0:
            gc.collect()


def _discard(event: Any) -> None:
    """Keep Twisted quiet."""


def _tune_collector() -> None:
    """Keep full collections away from the connections.

    A connection ends by its reference count alone (a test sees to it), so the collector has little to find; but a full
    pass looks at every object of every connection and stops the world meanwhile, 30 ms at 10,000 connections and again
    each time they have grown by a quarter. What the start has made is never looked at again, young objects are looked
    at in larger lots, and the full pass, for what an application may leave behind, comes once an hour.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(2_000, 10, 1_000_000)
