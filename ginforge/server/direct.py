"""The open WebSocket: frames in and out, a bounded write buffer, real close codes.

``DirectSocket`` is the object an application finds as ``scope["extensions"]["ginforge.direct"]``; docs/direct-socket.md
is its contract. Whole text frames and control frames are read here; anything fragmented, large or wrong goes through
autobahn's parser.
"""

# ruff: noqa: N802, N803, N815  # the names are Twisted's and autobahn's

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final

from autobahn.websocket.protocol import TrafficStats
from autobahn.websocket.utf8validator import Utf8Validator
from autobahn.websocket.xormasker import create_xor_masker  # type: ignore[attr-defined]  # not in its __all__
from daphne.ws_protocol import WebSocketProtocol

from ginforge.server import frames
from ginforge.server.runtime import runtime
from ginforge.server.transport import DirectTransport

logger = logging.getLogger(__name__)

CLOSED: Final = WebSocketProtocol.STATE_CLOSED
CONNECTING: Final = WebSocketProtocol.STATE_CONNECTING
CLOSING: Final = WebSocketProtocol.STATE_CLOSING
OPEN: Final = WebSocketProtocol.STATE_OPEN

PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005
ABNORMAL: Final = 1006
INVALID_PAYLOAD: Final = 1007
TOO_BIG: Final = 1009
TOO_MANY: Final = 4429
INTERNAL_ERROR: Final = 1011
SLOW_CONSUMER: Final = 1013

_TEXT: Final = 0x81
_PING: Final = 0x89
_PONG: Final = 0x8A
# Below this the mask is undone faster with one big integer than with autobahn's C object, which costs 2.5 µs to make.
_SMALL: Final = 1000
_READ_WHILE_CLOSING: Final = 64 * 1024
_FRAMES_PER_TURN: Final = 64
# Why reading is paused, as bits.
_BY_APPLICATION: Final = 1
_TO_BE_FAIR: Final = 2

Receiver = Callable[[bytes], None]

# What every connection needs all the time; the rare rest goes to the instance's __dict__.
_SLOTS: Final = (
    "allowance",
    "closer",
    "current_frame",
    "data",
    "inside_message",
    "last_heard",
    "paused",
    "receiver",
    "sock",
    "spent",
    "state",
    "transport",
    "utf8validator",
)


class DirectSocket(WebSocketProtocol):
    """One connection's wire side.

    ``sock`` is the operating system's socket while a frame may be written to it directly: open, plain TCP, and nothing
    buffered. It is None at all other times, so that the hot path needs one test.
    """

    __slots__ = _SLOTS

    # What autobahn's parser reads, shared by all connections; it writes an instance's own only while it is needed.
    connected = 1
    trafficStats = TrafficStats()
    trackedTimings = None
    autoPingTimeoutCall = None
    autoPingPending = None
    closeHandshakeTimeoutCall = None
    closedByMe = False
    failedByMe = False
    wasClean = False
    localCloseCode: int | None = None
    localCloseReason = ""
    remoteCloseCode: int | None = None
    remoteCloseReason: str | None = None
    websocket_version = 13
    _perMessageCompress = None

    # Set on the class that the factory makes.
    write_limit = 1 << 20
    frame_rate = 300
    close_timeout = 5.0
    server: Any

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def __init__(self) -> None:
        # Neither base class is initialised: what they would create is either here or not needed.
        self.state = CONNECTING
        self.data = b""
        self.transport: Any = None
        self.sock: socket.socket | None = None
        self.receiver: Receiver | None = None
        self.current_frame: Any = None
        self.inside_message = False
        self.utf8validator: Any = None
        self.closer: asyncio.TimerHandle | None = None
        self.paused = 0
        self.allowance = 0
        self.last_heard = self.server.clock
        self.spent = 0

    @property
    def peer(self) -> str:
        """The peer's address for log lines."""
        client = getattr(self.transport, "client", None)
        return f"{client[0]}:{client[1]}" if client else "unknown"

    # Frames out

    make_frame = staticmethod(frames.text_frame)

    def send_frame(self, frame: bytes) -> None:
        """Write a whole frame: to the socket if nothing waits there, else to the buffer. Never blocks or raises."""
        sock = self.sock
        if sock is None:
            if self.state == OPEN:
                self._buffer(frame)
            return
        try:
            sent = sock.send(frame)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:
            self._write_failed()
            return
        if sent != len(frame):
            self.sock = None
            # What the kernel did not take of the first frame is not held against the peer: one message may be
            # larger than the limit.
            rest = frame[sent:]
            self.allowance = len(rest)
            self._buffer(rest)

    @property
    def buffered_bytes(self) -> int:
        """Bytes handed over that the operating system has not taken yet."""
        transport = self.transport
        # Under TLS the plain transport is one below.
        size: int | None = getattr(transport, "buffered", None)
        if size is None:
            size = getattr(getattr(transport, "transport", None), "buffered", 0)
        return size

    def peer_read(self, left: int) -> None:
        """Note that the transport wrote some of what was buffered and ``left`` bytes remain."""
        self.last_heard = self.server.clock
        if not left:
            runtime.slow.discard(self)
            self.use_socket()
            self.caught_up()

    def use_socket(self) -> None:
        """Let frames go straight to the socket, if there is nothing between."""
        if self.state == OPEN and isinstance(self.transport, DirectTransport):
            self.sock = self.transport.socket

    def caught_up(self) -> None:
        """Hear that nothing is buffered any more."""

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:  # noqa: ARG002
        """Write what autobahn's parser answers, such as a pong."""
        self.send_frame(data)

    def _buffer(self, data: bytes) -> None:
        if self.buffered_bytes + len(data) > self.write_limit + self.allowance:
            runtime.overflowed += 1
            runtime.on_limit("write_buffer")
            self.close(SLOW_CONSUMER, "too slow")
            return
        self._queue(data)

    def _queue(self, data: bytes) -> None:
        self.transport.write(data)
        runtime.slow.add(self)

    def _write_failed(self) -> None:
        self.sock = None
        self.transport.fail_soon()

    # Closing

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame after what is buffered, then wait a few seconds for the peer's; no-op when not open.

        Raises ValueError for a code that may not stand in a frame (RFC 6455 section 7.4).
        """
        if not frames.is_sendable(code):
            raise ValueError(f"{code} is not a close code that can be sent")
        if self.state == OPEN:
            self._close(code, reason, by_me=True)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False) -> None:
        """Send autobahn's close frame, once."""
        if self.state == OPEN:
            self._close(code, (reasonUtf8 or b"").decode(errors="ignore"), by_me=not isReply)

    def _close(self, code: int | None, reason: str, *, by_me: bool) -> None:
        frame = frames.close_frame(code, reason)
        sock, self.sock = self.sock, None
        self.state = CLOSING
        self.spent = 0
        self.localCloseCode, self.localCloseReason, self.closedByMe = code, reason, by_me
        if self.paused:
            # The peer's own close frame has to be read.
            self._read_again()
        if sock is None:
            self._queue(frame)
        else:
            try:
                sent = sock.send(frame)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self._write_failed()
                return
            if sent != len(frame):
                self._queue(frame[sent:])
        if by_me:
            self.closer = self.server.loop.call_later(self.close_timeout, self.abort)

    def abort(self) -> None:
        """Cut the connection at once, dropping what is buffered."""
        self.sock = None
        if self.transport is not None:
            self.transport.abortConnection()

    def dropConnection(self, abort: bool = False) -> None:  # noqa: ARG002
        """End the TCP connection after what is buffered, as autobahn's parser wants it at the end of a handshake."""
        if self.state != CLOSED:
            self.state = CLOSED
            self.sock = None
            if self.closer is None:
                self.closer = self.server.loop.call_later(self.close_timeout, self.abort)
            self.transport.loseConnection()

    def _fail_connection(self, code: int = PROTOCOL_ERROR, reason: str = "") -> None:
        """Close with the code of what the peer did wrong, where autobahn would cut and the peer see 1006."""
        if code == TOO_BIG:
            runtime.on_limit("message_size")
        if self.state == OPEN:
            self.failedByMe = True
            self._close(code, reason, by_me=True)
        elif self.state == CLOSING:
            self.dropConnection()

    # Frames in

    def set_receiver(self, callback: Receiver | None) -> None:
        """Deliver each text message to ``callback`` as UTF-8 bytes, instead of to the ASGI queue; None undoes it."""
        self.receiver = callback

    def pause_reading(self) -> None:
        """Stop reading from the peer until ``resume_reading``; messages already read wait too."""
        self._pause(_BY_APPLICATION)

    def resume_reading(self) -> None:
        """Read again, beginning with what had been read already."""
        self._resume(_BY_APPLICATION)

    def _pause(self, reason: int) -> None:
        if self.state == OPEN:
            self.paused |= reason
            self.transport.pauseProducing()

    def _resume(self, reason: int) -> None:
        if self.paused & reason:
            self.paused &= ~reason
            if not self.paused:
                self._read_again()

    def _read_again(self) -> None:
        self.paused = 0
        self.transport.resumeProducing()
        if self.data:
            self.server.loop.call_soon(self.dataReceived, b"")

    def dataReceived(self, data: bytes) -> None:
        """Take bytes from the transport."""
        self.last_heard = self.server.clock
        if self.state == CLOSING:
            self.spent += len(data)
            if self.spent > _READ_WHILE_CLOSING:
                # A flood goes on after it was told to stop; its close frame is not worth the parsing.
                self.data = b""
                return
        if self.data:
            data, self.data = self.data + data, b""
        if self.current_frame is None and not self.inside_message:
            data = self._take_whole_frames(data)
        if not data or self.paused or self.state == CLOSED:
            self.data = data
            return
        if self.utf8validator is None:
            self.utf8validator = Utf8Validator()
        self.data = data
        self._parse()

    def _parse(self) -> None:
        """Let autobahn read: fragments, large frames, binary frames, close frames and everything that is wrong."""
        while not self.paused and self.processData() and self.state != CLOSED:
            pass

    def _take_whole_frames(self, data: bytes) -> bytes:
        """Handle complete small frames at the start of ``data`` and return the rest."""
        at, end, left = 0, len(data), _FRAMES_PER_TURN
        while end - at >= 6 and self.state == OPEN and not self.paused:
            first, size = data[at], data[at + 1] - 0x80
            body = at + 6
            if size == 126 and first == _TEXT and end - at >= 8:
                size = data[at + 2] << 8 | data[at + 3]
                body = at + 8
                if size < 126:
                    break
            elif not 0 <= size < 126:
                break
            stop = body + size
            if stop > end or size > self.maxMessagePayloadSize or first not in (_TEXT, _PONG, _PING):
                break
            at = stop
            left -= 1
            if not left and at < end:
                # One client's flood waits its turn like everybody else.
                self._pause(_TO_BE_FAIR)
                self.server.loop.call_soon(self._resume, _TO_BE_FAIR)
            if first != _TEXT and not self._spend_frame():
                break
            if first != _PONG:
                self._take_frame(first, _unmask(data[body - 4 : body], data[body:stop]))
        return data[at:] if at else data

    def onFrameBegin(self) -> None:
        """Count a frame that autobahn reads: fragments and control frames are no messages, which have a rate."""
        if self.state != OPEN or self._spend_frame():
            super().onFrameBegin()
        else:
            self.message_data: Any = []
            self.control_frame_data: Any = []

    def _spend_frame(self) -> bool:
        """Count a control frame or fragment; with too many in one second, close and return False."""
        second = self.server.clock << 20
        self.spent = max(self.spent, second) + 1
        if self.spent - second <= self.frame_rate:
            return True
        runtime.on_limit("frame_rate")
        self._fail_connection(TOO_MANY, "too many frames")
        return False

    def _take_frame(self, first: int, payload: bytes) -> None:
        if first == _PING:
            self.send_frame(frames.pong_frame(payload))
        elif payload.isascii() or _is_utf8(payload):
            self.onMessage(payload, False)
        else:
            self._fail_connection(INVALID_PAYLOAD, "text that is not UTF-8")

    def onMessageEnd(self) -> None:
        """Deliver a message that autobahn put together."""
        parts: list[bytes] = self.message_data
        self.message_data = None
        payload = b"".join(parts)
        if not self.failedByMe:
            self.onMessage(payload, self.message_is_binary)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Deliver a whole message; text is valid UTF-8."""
        receiver = self.receiver
        if receiver is None or isBinary:
            self.received(payload, isBinary)
            return
        try:
            receiver(payload)
        except Exception:  # The application's own function: whatever it raises ends this connection only.
            logger.exception("receiver failed", extra={"client": self.peer})
            self._fail_connection(INTERNAL_ERROR, "internal error")

    def received(self, payload: bytes, is_binary: bool) -> None:
        """Hear of a message that no receiver takes."""


def _is_utf8(payload: bytes) -> bool:
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unmask(key: bytes, payload: bytes) -> bytes:
    if len(payload) < _SMALL:
        return frames.unmask(key, payload)
    return bytes(create_xor_masker(key, len(payload)).process(payload))
