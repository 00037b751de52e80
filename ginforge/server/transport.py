"""The TCP transport under a connection: Twisted's, slimmed, telling its protocol when everything was written."""

# ruff: noqa: N802  # the names are Twisted's and autobahn's

import socket
from typing import Any

from twisted.internet import address, error, tcp
from twisted.python import failure


class DirectTransport(tcp.Server):
    """A server-side TCP transport that lets the protocol write to ``socket`` while ``buffered`` is 0.

    Set as ``Port.transport``. Twisted's own keeps three strings per connection for its log; these are shared here.
    """

    __slots__ = ("_tempDataBuffer", "_tempDataLen", "client", "connected", "fileno", "protocol", "reactor", "socket")

    logstr = "ginforge"
    repstr = "<ginforge connection>"
    server: Any = None
    sessionno = 0

    def __init__(
        self, sock: socket.socket, protocol: Any, client: tuple[Any, ...], _port: Any, _number: int, reactor: Any
    ) -> None:
        sock.setblocking(False)
        # No Nagle: a frame goes out when it is written.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.reactor = reactor
        self.socket = sock
        self.fileno = sock.fileno
        self.protocol = protocol
        self.client = client[:2]
        if len(client) != 2:
            self._addressType = address.IPv6Address
        self._tempDataBuffer: list[bytes] = []
        self._tempDataLen = 0
        self.connected = 1
        self.startReading()

    @property
    def buffered(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

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
