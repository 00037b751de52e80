"""A WebSocket connection between the wire and an ASGI application."""

# ruff: noqa: N802  # the names are Twisted's and autobahn's

import asyncio
import logging
from typing import Any, Final

from autobahn.twisted.websocket import WebSocketServerProtocol
from daphne.utils import parse_x_forwarded_for
from daphne.ws_protocol import WebSocketFactory
from twisted.internet.interfaces import ISSLTransport

from ginforge.server import frames, handshake
from ginforge.server.direct import (
    ABNORMAL,
    CLOSED,
    CLOSING,
    CONNECTING,
    INTERNAL_ERROR,
    NO_STATUS,
    OPEN,
    DirectSocket,
    Receiver,
)
from ginforge.server.inbox import Inbox
from ginforge.server.runtime import runtime

logger = logging.getLogger(__name__)

Message = dict[str, Any]

_SLOTS: Final = ("born", "handshake", "inbox", "slot", "task", "writable")
# An application that is this many messages behind is not read for until it has caught up to the lower mark.
_INBOX_HIGH = 64
_INBOX_LOW = 16
# ``await send()`` waits while more than this is buffered, so that an application that streams is not cut as slow.
_SEND_HIGH = 64 * 1024


class GatewayWebSocket(DirectSocket):
    """Handshake, ASGI events and the application's task of one connection."""

    __slots__ = _SLOTS

    denial: Message | None = None
    path = "/"

    def __init__(self) -> None:
        super().__init__()
        self.handshake: handshake.Handshake | None = None
        self.inbox = Inbox(self._was_read)
        self.task: asyncio.Task[None] | None = None
        self.writable: asyncio.Future[None] | None = None
        self.born = self.server.clock
        self.slot = -1

    def __repr__(self) -> str:
        return f"<GatewayWebSocket {self.peer}>"

    # From the transport

    def makeConnection(self, transport: Any) -> None:
        """Take the transport over from the protocol that read the request."""
        self.transport = transport
        # The HTTP channel is the transport's producer until now; it is freed with this.
        transport.unregisterProducer()
        self.server.handshaking(self)

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the transport: the request's head first, frames after it was accepted."""
        if self.state != CONNECTING:
            super().dataReceived(data)
            return
        self.data += data
        if self.handshake is None and b"\r\n\r\n" in self.data:
            head, _, self.data = self.data.partition(b"\r\n\r\n")
            self._opened(head + b"\r\n\r\n")
        elif len(self.data) > self.server.options.max_head:
            self.refuse(400, b"Too much before the handshake")

    def connectionLost(self, reason: Any = None) -> None:  # noqa: ARG002
        """Tell the application, whichever way the connection ended."""
        if self.closer is not None:
            self.closer.cancel()
            self.closer = None
        self.state = CLOSED
        self.sock = self.receiver = None
        self.data = b""
        runtime.slow.discard(self)
        self.caught_up()
        code, text = self._close_status()
        self.inbox.put_nowait({"type": "websocket.disconnect", "code": code, "reason": text})
        self.server.websocket_lost(self)

    def _close_status(self) -> tuple[int, str]:
        if self.closedByMe and self.localCloseCode is not None:
            return self.localCloseCode, self.localCloseReason
        if self.wasClean:
            return self.remoteCloseCode or NO_STATUS, self.remoteCloseReason or ""
        return ABNORMAL, ""

    # The handshake

    def _opened(self, head: bytes) -> None:
        try:
            self.handshake = handshake.parse(head)
        except handshake.HandshakeError as error:
            self.refuse(error.status, str(error).encode(), error.headers)
            return
        if not self.server.may_open():
            self.refuse(503, b"Busy", [(b"Retry-After", b"1")])
            return
        if self.server.action_logger:
            self.path = self.handshake.raw_path.decode("ascii")
            self.server.log_socket(self, "connecting")
        self.inbox.put_nowait({"type": "websocket.connect"})
        self.server.start_websocket(self, self._scope(self.handshake))

    def _scope(self, request: handshake.Handshake) -> Message:
        peer, host = self.transport.getPeer(), self.transport.getHost()
        client = server = None
        if hasattr(peer, "port"):
            client, server = [str(peer.host), peer.port], [str(host.host), host.port]
        scheme = "wss" if ISSLTransport.providedBy(self.transport) else "ws"
        root_path = self.server.root_path
        if self.server.trusts_proxy:
            if request.root_path is not None:
                root_path = request.root_path
            client, forwarded = parse_x_forwarded_for(
                dict(request.headers),
                self.server.proxy_forwarded_address_header,
                self.server.proxy_forwarded_port_header,
                self.server.proxy_forwarded_proto_header,
                client,
            )
            scheme = {"https": "wss", "http": "ws"}.get(forwarded or "", scheme)
        return {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": scheme,
            "path": request.path,
            "raw_path": request.raw_path,
            "root_path": root_path,
            "query_string": request.query_string,
            "headers": request.headers,
            "client": client,
            "server": server,
            "subprotocols": request.subprotocols,
            "extensions": {"websocket.http.response": {}, "ginforge.direct": self},
        }

    def refuse(self, status: int, body: bytes = b"", headers: handshake.Headers | None = None) -> None:
        """Answer the request with an HTTP error instead of upgrading it."""
        if self.state == CONNECTING:
            self.transport.write(handshake.refusal_response(status, headers or [], body, self.server.server_name or ""))
            self.dropConnection()

    def _accept(self, message: Message) -> None:
        if self.state != CONNECTING or self.handshake is None:
            return
        response = handshake.accept_response(
            self.handshake,
            message.get("subprotocol"),
            message.get("headers", ()),
            self.server.server_name or "",
        )
        self.handshake = None
        self.state = OPEN
        self.use_socket()
        self.send_frame(response)
        self.server.websocket_opened(self)
        if self.data:
            # After the application's step, in which it may set a receiver.
            self.server.loop.call_soon(self.dataReceived, b"")

    # To and from the application

    async def send(self, message: Message) -> None:
        """Handle an ASGI event from the application; waits while the peer is behind."""
        self.handle_reply(message)
        while self.state == OPEN and self.sock is None and self.buffered_bytes > _SEND_HIGH:
            if self.writable is None:
                self.writable = self.server.loop.create_future()
            # Shielded: several senders may wait for the same future.
            await asyncio.shield(self.writable)

    def caught_up(self) -> None:
        """Let the application send on."""
        waiting, self.writable = self.writable, None
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def set_receiver(self, callback: Receiver | None) -> None:
        """As in the base class; what the application has not asked for yet goes to ``callback`` at once."""
        super().set_receiver(callback)
        if callback is not None:
            for event in self.inbox.take_all():
                if event.get("text") is not None:
                    self.onMessage(event["text"].encode(), False)
                else:
                    self.inbox.put_nowait(event)

    def handle_reply(self, message: Message) -> None:
        """Handle an ASGI event from the application."""
        kind = message["type"]
        if kind == "websocket.send":
            self._send(message)
        elif kind == "websocket.accept":
            self._accept(message)
        elif kind == "websocket.close":
            self._closed_by_application(message)
        elif kind == "websocket.http.response.start":
            self._deny(message)
        elif kind == "websocket.http.response.body":
            self._deny_body(message)
        else:
            raise ValueError(f"cannot handle message type {kind!r}")

    def _send(self, message: Message) -> None:
        if self.state == CONNECTING:
            raise ValueError("Socket has not been accepted, so cannot send over it")
        text, data = message.get("text"), message.get("bytes")
        if text is not None and data is not None:
            raise ValueError("a websocket.send event holds either text or bytes")
        if text is not None:
            self.send_frame(frames.text_frame(text.encode()))
        elif data is not None:
            self.send_frame(frames.binary_frame(data))
        else:
            raise ValueError("a websocket.send event without text or bytes")

    def _closed_by_application(self, message: Message) -> None:
        if self.state == CONNECTING:
            self.server.log_socket(self, "rejected")
            self.refuse(403, b"Access denied")
        else:
            code = message.get("code")
            self.close(1000 if code is None else code, message.get("reason") or "")

    def _deny(self, message: Message) -> None:
        if self.state != CONNECTING:
            raise ValueError("a denial response is only possible before the connection was accepted")
        if self.denial is not None:
            raise ValueError("the denial response has already been started")
        self.denial = message

    def _deny_body(self, message: Message) -> None:
        if self.denial is None:
            raise ValueError("the denial response has not been started")
        if self.state != CONNECTING:
            return
        start, body, more = self.denial, message.get("body", b""), message.get("more_body", False)
        if "sent" in start:
            self.transport.write(body)
        else:
            head = handshake.refusal_response(
                start["status"], start.get("headers", ()), None if more else body, self.server.server_name or ""
            )
            self.transport.write(head + body if more else head)
            self.denial = {**start, "sent": True}
        if not more:
            self.server.log_socket(self, "rejected")
            self.dropConnection()

    def received(self, payload: bytes, is_binary: bool) -> None:
        """Queue a message for the application and stop reading if it is too far behind."""
        event: Message = {"type": "websocket.receive"}
        if is_binary:
            event["bytes"] = payload
        else:
            event["text"] = payload.decode()
        if self.inbox.put_nowait(event) >= _INBOX_HIGH:
            self.pause_reading()

    def _was_read(self, left: int) -> None:
        if self.paused and left <= _INBOX_LOW:
            self.resume_reading()

    def application_finished(self, error: BaseException | None) -> None:
        """End the connection that the application has left."""
        self.task = None
        self.inbox.abandon()
        if self.state == CONNECTING:
            self.refuse(500, b"Internal server error")
        elif error is not None:
            self.close(INTERNAL_ERROR, "internal error")
        else:
            self.close(1000)

    def silent_for(self) -> int:
        """Seconds since the peer was last heard of."""
        return int(self.server.clock - self.last_heard)

    def ping(self) -> None:
        """Send a protocol ping, unless the peer still has to read other things."""
        if self.sock is not None:
            self.send_frame(frames.PING)

    def is_closing(self) -> bool:
        """Tell whether a close frame was sent."""
        return bool(self.state in (CLOSING, CLOSED))


class GatewayWebSocketFactory(WebSocketFactory):
    """Makes the connections of one server.

    Autobahn copies 29 configuration values into every connection. Here they are attributes of a class made for this
    factory, which also spares each connect a pretty-printed debug log of them.
    """

    def __init__(self, server: Any, **options: Any) -> None:
        super().__init__(server, server=server.server_name)
        self.setProtocolOptions(
            allowNullOrigin=True,
            failByDrop=False,
            echoCloseCodeReason=True,
            maxMessagePayloadSize=server.websocket_max_message_size,
            maxFramePayloadSize=server.websocket_max_frame_size,
        )
        shared = {name: getattr(self, name) for name in WebSocketServerProtocol.CONFIG_ATTRS}
        shared["perMessageCompressionAccept"] = staticmethod(shared["perMessageCompressionAccept"])
        self.protocol = type(
            "GatewayWebSocket",
            (GatewayWebSocket,),
            {"__slots__": (), "CONFIG_ATTRS": [], "factory": self, "server": server, **shared, **options},
        )

    def buildProtocol(self, addr: Any) -> GatewayWebSocket:  # noqa: ARG002
        """Return a connection; its factory and server are known to its class."""
        protocol: GatewayWebSocket = self.protocol()
        return protocol
