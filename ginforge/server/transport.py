"""The TCP transport under a connection: Twisted's, slimmed, telling its protocol when everything was written."""

# ruff: noqa: N802  # the names are Twisted's and autobahn's

import logging
import socket
from typing import Any, cast

from twisted.internet import address, error, main, tcp
from twisted.python import failure

logger = logging.getLogger(__name__)

_READ_SIZE = 64 * 1024


def _UnixPeer(*_: Any) -> address.UNIXAddress:
    """Stand in for the address class: a UNIX socket's peers have no names."""
    return address.UNIXAddress(None)


class DirectTransport(tcp.Server):
    """A server-side TCP transport that lets the protocol write to ``socket`` while ``buffered`` is 0.

    Set as ``Port.transport``. Twisted's own keeps three strings per connection for its log; these are shared here. It
    also wraps each readiness in a logging context and three calls of the reactor; here the event loop calls directly,
    which takes a third off a message's cost.
    """

    __slots__ = (
        "_reading",
        "_tempDataBuffer",
        "_tempDataLen",
        "_writing",
        "client",
        "connected",
        "fileno",
        "protocol",
        "reactor",
        "socket",
    )

    logstr = "ginforge"
    repstr = "<ginforge connection>"
    server: Any = None
    sessionno = 0

    def __init__(
        self, sock: socket.socket, protocol: Any, client: tuple[Any, ...], _port: Any, _number: int, reactor: Any
    ) -> None:
        sock.setblocking(False)
        self.reactor = reactor
        self.socket = sock
        self.fileno = sock.fileno
        self.protocol: Any = protocol
        self.client = client[:2]
        if sock.family == socket.AF_UNIX:
            self.client = ("unix", 0)
            self._addressType = cast("Any", _UnixPeer)
        else:
            # No Nagle: a frame goes out when it is written.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if len(client) != 2:
                self._addressType = address.IPv6Address
        self._tempDataBuffer: list[bytes] = []
        self._tempDataLen = 0
        self.connected = 1
        self._reading = self._writing = False
        self.startReading()

    @property
    def buffered(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def startReading(self) -> None:
        """Have the loop call us when there is something to read."""
        if not self._reading:
            self._reading = True
            self.reactor._asyncioEventloop.add_reader(self.fileno(), self._readable)  # noqa: SLF001

    def stopReading(self) -> None:
        """Undo ``startReading``."""
        if self._reading:
            self._reading = False
            self.reactor._asyncioEventloop.remove_reader(self.fileno())  # noqa: SLF001

    def startWriting(self) -> None:
        """Have the loop call us when the socket takes more."""
        if not self._writing:
            self._writing = True
            self.reactor._asyncioEventloop.add_writer(self.fileno(), self._writable)  # noqa: SLF001

    def stopWriting(self) -> None:
        """Undo ``startWriting``."""
        if self._writing:
            self._writing = False
            self.reactor._asyncioEventloop.remove_writer(self.fileno())  # noqa: SLF001

    def _readable(self) -> None:
        try:
            data = self.socket.recv(_READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self.connectionLost(failure.Failure(main.CONNECTION_LOST))
            return
        if not data:
            self.readConnectionLost(failure.Failure(main.CONNECTION_DONE))
            return
        try:
            self.protocol.dataReceived(data)
        except Exception:
            logger.exception("connection cut by an error in its protocol")
            self.connectionLost(failure.Failure(main.CONNECTION_LOST))

    def _writable(self) -> None:
        result = self.doWrite()
        if result is not None:
            self.connectionLost(failure.Failure(result))

    def doWrite(self) -> Any:
        """Write what fits; tell the protocol that its peer is reading, and how much is left."""
        before = self.buffered
        result = super().doWrite()
        if result is None and (left := self.buffered) < before:
            protocol = getattr(self.protocol, "wrappedProtocol", self.protocol)
            peer_read = getattr(protocol, "peer_read", None)
            if peer_read is not None:
                peer_read(left)
        return result

    def fail_soon(self) -> None:
        """Report a write that failed outside the reactor's own loop."""
        if not self.disconnected:
            self.stopReading()
            self.stopWriting()
            self.reactor.callLater(0, self.connectionLost, failure.Failure(error.ConnectionLost()))
