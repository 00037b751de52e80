"""The HTTP side: who reads a new connection's first bytes, and Daphne's requests with their faults mended."""

# ruff: noqa: N802, N815  # the names are Twisted's and autobahn's

import asyncio
import logging
import re
from io import BytesIO
from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.protocols.policies import ProtocolWrapper
from twisted.web import http

from ginforge.server import handshake
from ginforge.server.runtime import runtime

logger = logging.getLogger(__name__)

_LINGER_SECONDS = 1.0
# As much of a request as shows that it is one (RFC 9112 section 3).
_METHOD = re.compile(rb"[A-Z-]{1,20}(?: |\Z)")


class GatewayRequest(WebRequest):
    """A request in which a failing application neither hangs the client nor the server."""

    channel: Any
    content: Any
    _refused = False
    task: asyncio.Task[None] | None = None

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def gotLength(self, length: int | None) -> None:
        """Make room for the body, unless it says that it is too large."""
        super().gotLength(length)
        if length is not None and length > self.server.options.max_request_body:
            self._refuse_body()

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a part of the body, as long as it is not too large."""
        if self._refused:
            return
        super().handleContentChunk(data)
        if self.content.tell() > self.server.options.max_request_body:
            self._refuse_body()

    def _refuse_body(self) -> None:
        self._refused = True
        self.content.close()
        self.content = BytesIO()
        runtime.on_limit("request_body")
        channel = self.channel
        channel.transport.write(handshake.refusal_response(413, [], b"Request body too large"))
        # What is on its way is still read: a connection closed over unread data resets, and the answer would be lost.
        self.server.loop.call_later(_LINGER_SECONDS, channel.loseConnection)

    def process(self) -> Any:
        """Start the application, or upgrade a connection that has been used for HTTP before."""
        if self._refused:
            return None
        if not self.server.trusts_proxy:
            self.requestHeaders.removeHeader(b"daphne-root-path")
        result = super().process()
        channel = self.channel
        if self.transport is None and channel is not None:
            # Upgraded: the transport has another protocol now. Nothing may keep the request and its channel.
            protocol = channel.transport.protocol
            channel.upgraded = getattr(protocol, "wrappedProtocol", protocol)
            channel.requests.clear()
            self.channel = None
        return result

    def application_finished(self, error: BaseException | None) -> None:
        """End what the application left unfinished: an error page, or a cut if the response has begun."""
        self.task = None
        if self.finished or self.channel is None:
            return
        if self._response_started:
            logger.warning("application left a response unfinished")
            self.channel.forceAbortClient()
        elif error is not None:
            self.handle_exception(error)
        else:
            self.basic_error(500, b"Internal Server Error", "Application sent no response.")

    async def written(self, high: int) -> None:
        """Wait while more than ``high`` bytes of the response wait for a slow client."""
        channel = self.channel
        if isinstance(channel, GatewayChannel):
            await channel.written(high)


class GatewayChannel(http.HTTPChannel):
    """Twisted's HTTP/1.1, with a way to wait for a slow client."""

    requestFactory = GatewayRequest
    upgraded: Any = None
    _writable: asyncio.Future[None] | None = None

    def rawDataReceived(self, data: bytes) -> None:
        """Pass on what came along with a request to upgrade."""
        if self.upgraded is None:
            super().rawDataReceived(data)
        else:
            self.upgraded.dataReceived(data)

    async def written(self, high: int) -> None:
        """Wait until everything was written, if more than ``high`` bytes are waiting."""
        while getattr(self.transport, "buffered", 0) > high:
            if self._writable is None:
                self._writable = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._writable)

    def peer_read(self, left: int) -> None:
        """Hear from the transport that ``left`` bytes are still waiting."""
        if not left:
            self._release()

    def connectionLost(self, reason: Any = None) -> None:
        """Let nobody wait for a client that has gone."""
        super().connectionLost(reason)
        self._release()

    def _release(self) -> None:
        waiting, self._writable = self._writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)


class Front:
    """Reads the head of a connection's first request and hands it to the WebSocket or the HTTP protocol.

    Twisted's HTTP machinery costs a connect half its time and most of its memory; a WebSocket never needs it.
    """

    __slots__ = ("addr", "data", "factory", "transport")

    def __init__(self, factory: "GatewayHTTPFactory", addr: Any) -> None:
        self.factory = factory
        self.addr = addr
        self.data = b""
        self.transport: Any = None

    def makeConnection(self, transport: Any) -> None:
        """Begin to wait for a request."""
        self.transport = transport
        self.factory.server.accepted(self)

    def dataReceived(self, data: bytes) -> None:
        """Collect the head of the first request."""
        self.data = data = self.data + data if self.data else data
        if not _METHOD.match(data):
            self.refuse(400)
        elif b"\r\n\r\n" in data:
            head = data[: data.index(b"\r\n\r\n") + 4]
            if len(head) > self.factory.server.options.max_head:
                self.refuse(431)
                runtime.on_limit("header_size")
            elif handshake.asks_for_upgrade(head):
                self._hand_over(self.factory.server.ws_factory.buildProtocol(self.addr))
            else:
                self._hand_over(self._http())
        elif len(data) > self.factory.server.options.max_head:
            self.refuse(431)
            runtime.on_limit("header_size")

    def connectionLost(self, reason: Any) -> None:  # noqa: ARG002
        """Forget a connection that ended before its request."""
        self.factory.server.unread.pop(self, None)

    def refuse(self, status: int = 408) -> None:
        """Answer a request that took too long or was too large."""
        self.factory.server.unread.pop(self, None)
        self.transport.write(handshake.refusal_response(status, [], b""))
        self.transport.loseConnection()

    def logPrefix(self) -> str:
        """Return the name for Twisted's log."""
        return "Front"

    def _http(self) -> Any:
        return self.factory.build_channel(self.addr)

    def _hand_over(self, protocol: Any) -> None:
        self.factory.server.unread.pop(self, None)
        transport, data = self.transport, self.data
        if isinstance(transport, ProtocolWrapper):
            # TLS wraps the protocol.
            transport.wrappedProtocol = protocol
        else:
            transport.protocol = protocol
        protocol.makeConnection(transport)
        protocol.dataReceived(data)


class GatewayHTTPFactory(HTTPFactory):
    """Builds a ``Front`` for each connection, and Daphne's HTTP protocol behind it."""

    def buildProtocol(self, addr: Any) -> Any:
        """Return what reads a new connection; Twisted's own where HTTP/2 may be negotiated."""
        if http.H2_ENABLED:
            return self.build_channel(addr)
        return Front(self, addr)

    def build_channel(self, addr: Any) -> Any:
        """Return an HTTP protocol with our requests."""
        if http.H2_ENABLED:
            channel = super().buildProtocol(addr)
            channel.requestFactory = GatewayRequest
            return channel
        plain: Any = GatewayChannel()
        plain.factory = self
        plain.callLater = self.reactor.callLater
        plain.timeOut = self.timeOut
        return plain

    def log(self, request: Any) -> None:
        """Keep Twisted's own access log quiet: nobody reads it, and its lines hold the query, tokens included."""
