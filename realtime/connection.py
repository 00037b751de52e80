"""One live WebSocket of this process."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from realtime import metrics
from realtime.principal import Principal
from realtime.session import BROADCAST_STREAM, ROOM_STREAM_PREFIX, USER_STREAM
from realtime.sockets import Cork, DirectSocket

if TYPE_CHECKING:
    from realtime.session import Session


class Connection:
    """Socket, session and what the hub keeps about them; small, because there are many."""

    __slots__ = (
        "address",
        "broadcast_offset",
        "closing",
        "connected_at",
        "inbox",
        "pending_ids",
        "served",
        "session",
        "socket",
        "user_offset",
        "warned",
    )

    def __init__(self, socket: DirectSocket, session: Session, address: str, connected_at: float) -> None:
        self.socket = socket
        self.session = session
        self.address = address
        self.connected_at = connected_at
        """Unix seconds."""
        self.served = 0
        """Number of the last large fan-out this connection was served."""
        self.user_offset = -1
        """Offset at which the live delivery of the user's stream began; -1 before."""
        self.broadcast_offset = -1
        self.inbox: deque[bytes] | None = None
        """Messages that wait for an earlier one to be dealt with; None while there is none."""
        self.pending_ids: set[str] | None = None
        """Ids of stored messages this connection has been sent."""
        self.closing = False
        self.warned = False
        """Whether it was told that its token expires soon."""

    @property
    def client_id(self) -> str:
        """Identity of this connection, told in ``welcome``."""
        return self.session.client_id

    @property
    def principal(self) -> Principal:
        """Whose connection it is."""
        return self.session.principal

    def begin_anew(self, stream: str, offset: int) -> None:
        """Note that the live delivery of a stream began anew behind ``offset``, in another epoch or after a loss."""
        if stream == BROADCAST_STREAM:
            self.broadcast_offset = offset
        elif stream == USER_STREAM:
            self.user_offset = offset
        elif self.session.rooms is not None:
            self.session.rooms[stream.removeprefix(ROOM_STREAM_PREFIX)] = offset

    def reply(self, text: bytes) -> None:
        """Send one message at once, past frames that are being held back."""
        socket = self.socket
        if isinstance(socket, Cork):
            socket = socket.socket
        metrics.sent.inc()
        socket.send_frame(socket.make_frame(text))

    def send(self, text: bytes) -> None:
        """Send one message to this client alone."""
        metrics.sent.inc()
        self.socket.send_frame(self.socket.make_frame(text))
