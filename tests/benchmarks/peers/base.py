"""What a server under test has to offer."""

from __future__ import annotations

import contextlib
import socket
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from ginforge.embedded import LOOPBACK, EmbeddedValkey, free_port
from tests.benchmarks.processes import Server, cores

JWT_KEY: Final = "benchmark-signing-key-of-at-least-32-bytes"


class PeerMissing(Exception):
    """This machine cannot run the peer; the message says what to install."""


@dataclass(frozen=True, slots=True)
class Route:
    """How the load reaches a running peer; sent to the load process."""

    url: str
    """WebSocket URL of a client that hears broadcasts."""
    user_url: str
    """The same for a client that also hears what is for its user; ``{user}`` becomes the user's id."""
    room_url: str
    """The same for the room test; ``{room}`` becomes the room's name."""
    publish: str
    """``redis://…`` or the base URL of Nchan's publisher."""
    token_key: str = ""
    """Key for the bearer tokens; empty for a peer without tokens."""
    expect_welcome: bool = True
    join_rooms: bool = True
    """Whether a client joins a room by message (else by its URL)."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started peer: ``server`` is what holds the connections, ``bridge`` what stands between Redis and it."""

    server: Server
    route: Route
    valkey: EmbeddedValkey
    bridge: Server | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where a peer runs: its logs and temporary files, downloads kept between runs, settings of the gateway."""

    directory: Path
    cache: Path
    gateway_settings: Mapping[str, object]

    def log(self, name: str) -> Path:
        """Return the path of a log file."""
        return self.directory / f"{name}.log"

    def scratch(self, name: str) -> Path:
        """Return a new directory for temporary files."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.directory))


class Peer(ABC):
    """One server; ``start`` is a context manager that yields it running."""

    name: ClassVar[str]
    label: ClassVar[str]
    note: ClassVar[str] = ""
    """What the reader of the table must know about this peer."""
    lacks: ClassVar[frozenset[str]] = frozenset()
    """Measures this peer has no counterpart for: ``unicast``, ``rooms``, ``bridge``, ``slow_reader``."""
    keeps_history: ClassVar[bool] = False

    @abstractmethod
    def versions(self, stage: Stage) -> dict[str, str]:
        """Return the versions of what runs; raises ``PeerMissing``."""

    @abstractmethod
    def start(self, stage: Stage) -> contextlib.AbstractContextManager[Running]:
        """Run the peer on free ports with a Valkey of its own; everything is stopped at the end."""


def accepts_connections(port: int) -> bool:
    """Tell whether something listens on a loopback port."""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def serving(
    command: list[str], *, stage: Stage, name: str, port: int, env: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a server on the servers' core until it accepts connections on ``port``."""
    with Server(command, log=stage.log(name), env=env or {}, cpus=cores()[0]) as server:
        server.wait_until(lambda: accepts_connections(port))
        yield server


def local_port() -> int:
    """Return a free loopback port."""
    return free_port()
