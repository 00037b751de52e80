"""What the application may read of the server it runs under, and the hooks it may hang into it.

Under another ASGI server nothing here ever changes, so that reading it is always safe.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

DrainHook = Callable[[], Awaitable[None] | None]


def _unheard(limit: str) -> None:
    """Stand for an application that does not count."""


class Buffered(Protocol):
    """A connection whose peer has not read everything yet."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait in this process."""


@dataclass(slots=True)
class Runtime:
    """State of this process's server; one instance, ``runtime``."""

    draining: bool = False
    open_sockets: int = 0
    overflowed: int = 0
    on_drain: list[DrainHook] = field(default_factory=list)
    on_limit: Callable[[str], None] = _unheard
    """Told the name of a limit that a peer has reached: ``header_size``, ``header_time``, ``pending_handshakes``,
    ``write_buffer``, ``message_size``, ``request_body``."""
    slow: set[Buffered] = field(default_factory=set)

    @property
    def buffered_bytes(self) -> int:
        """Bytes waiting for slow peers in this process, over all connections."""
        return sum(connection.buffered_bytes for connection in self.slow)

    @property
    def slow_connections(self) -> int:
        """Connections with something waiting."""
        return len(self.slow)


runtime = Runtime()
