"""Pings, and the end of peers that are not heard of any more, without a timer per connection."""

import logging
from typing import TYPE_CHECKING

from ginforge.server.direct import OPEN
from ginforge.server.websocket import GatewayWebSocket

if TYPE_CHECKING:
    from ginforge.server.server import GatewayServer

logger = logging.getLogger(__name__)

HEARTBEAT_LOST = 4408
# Pings go out in lots with a pause between, for the pongs come back in lots as well and would hold up deliveries.
_LOT = 64
_PAUSE = 0.02
_LOTS_PER_SECOND = 40


class Heartbeats:
    """A wheel of one set for each second of the ping interval; each connection is in the set of its next ping."""

    def __init__(self, server: "GatewayServer") -> None:
        self._server = server
        self._interval = max(1, server.ping_interval)
        self._wheel: list[set[GatewayWebSocket]] = [set() for _ in range(self._interval)]
        self._next = 0

    def add(self, protocol: GatewayWebSocket) -> None:
        """Begin to ping a connection; those that come together are not pinged together."""
        self._next = (self._next + 1) % self._interval
        self._plan(protocol, self._server.clock + 1 + self._next)

    def discard(self, protocol: GatewayWebSocket) -> None:
        """Forget a connection."""
        if protocol.slot >= 0:
            self._wheel[protocol.slot].discard(protocol)

    def beat(self) -> None:
        """Do what is due this second."""
        at = self._server.clock % self._interval
        due, self._wheel[at] = list(self._wheel[at]), set()
        if due:
            self._serve(due, max(_LOT, len(due) // _LOTS_PER_SECOND))

    def _serve(self, due: list[GatewayWebSocket], lot: int) -> None:
        for protocol in due[-lot:]:
            try:
                if protocol.state == OPEN:
                    self._look_at(protocol)
            except Exception:
                logger.exception("heartbeat of %r failed", protocol)
        del due[-lot:]
        if due:
            self._server.loop.call_later(_PAUSE, self._serve, due, lot)

    def _look_at(self, protocol: GatewayWebSocket) -> None:
        server = self._server
        silent = protocol.silent_for()
        protocol.slot = -1
        if server.ping_timeout and silent >= server.ping_timeout:
            protocol.close(HEARTBEAT_LOST, "heartbeat")
        elif 0 <= server.websocket_timeout < server.clock - protocol.born:
            protocol.close(1000)
        else:
            protocol.ping()
            left = server.ping_timeout - silent if server.ping_timeout else self._interval
            self._plan(protocol, server.clock + max(1, min(self._interval, left)))

    def _plan(self, protocol: GatewayWebSocket, second: int) -> None:
        protocol.slot = second % self._interval
        self._wheel[protocol.slot].add(protocol)
