"""Stand-ins for sockets and Redis that remember what happened; for unit tests only."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import Any

from realtime.conf import RealtimeSettings
from realtime.connection import Connection
from realtime.layer import History
from realtime.principal import Principal
from realtime.sequencer import Item, Position
from realtime.session import Session


def holder(user_id: str = "7", *, username: str = "Ann", staff: bool = False, **more: Any) -> Principal:
    """Return a principal whose token is good for long."""
    return Principal(user_id, username, staff, more.pop("jti", None), more.pop("expires_at", 4e9), **more)


class RecordingSocket:
    """A ``DirectSocket`` that keeps the frames it was given."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.paused = False
        self.receiver: Any = None
        self.buffered_bytes = 0

    def make_frame(self, text: bytes) -> bytes:
        return text

    def send_frame(self, frame: bytes) -> None:
        if self.closed is None:
            self.frames.append(frame)

    def set_receiver(self, callback: Any) -> None:
        self.receiver = callback

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self, code: int, reason: str = "") -> None:
        if self.closed is None:
            self.closed = (int(code), reason)

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What was sent, decoded."""
        return [json.loads(frame) for frame in self.frames]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """What was sent of one type."""
        return [message for message in self.messages if message["type"] == kind]


def make_connection(user_id: str = "7", *, conf: RealtimeSettings | None = None, **claims: Any) -> Connection:
    """Return a connection on a ``RecordingSocket``, outside any hub."""
    session = Session(holder(user_id, **claims), f"client-{user_id}", conf or RealtimeSettings(), time.monotonic())
    return Connection(RecordingSocket(), session, "127.0.0.1:1", time.time())


def sent_to(connection: Connection) -> list[dict[str, Any]]:
    """Return the messages a recording connection was sent."""
    socket = connection.socket
    assert isinstance(socket, RecordingSocket)
    return socket.messages


class FakeShard:
    """The one shard of ``FakeLayer``."""

    index = 0


class FakeLayer:
    """One Redis with streams as ``StreamLoopLayer`` shows them; what it sends waits in ``wire`` until ``pump``.

    Replies and messages share the wire in the order in which Redis made them, as on the real connection.
    """

    def __init__(self, history_size: int = 1000) -> None:
        self.wire: deque[Any] = deque()
        self.sink: Any = None
        self.joined: set[str] = set()
        self.history_size = history_size
        self.runs = 1
        self.failing = False
        self.reads = 0
        self._streams: dict[str, tuple[str, list[tuple[int, bytes]], int]] = {}

    def shard(self, group: str) -> FakeShard:
        return FakeShard()

    def join(self, group: str, callback: Any) -> None:
        self.joined.add(group)
        callback(None)

    def leave(self, group: str) -> None:
        self.joined.discard(group)

    def append(self, group: str, text: bytes = b'{"data":{}}', *, lost: bool = False, copies: int = 1) -> Position:
        """Publish one message; ``lost`` keeps it off the wire, ``copies`` puts it there more than once."""
        epoch, log, top = self._stream(group)
        top += 1
        log = [*log, (top, text)][-self.history_size :]
        self._streams[group] = (epoch, log, top)
        if not lost and group in self.joined:
            for _ in range(copies):
                self.wire.append((self._item, group, Item(epoch, top, 0, text)))
        return Position(epoch, top)

    def restart(self) -> None:
        """Forget all streams, as a Redis without persistence does."""
        self.runs += 1
        self._streams.clear()

    def expire(self, group: str) -> None:
        """Drop the history but keep the position."""
        epoch, _, top = self._stream(group)
        self._streams[group] = (epoch, [], top)

    def read(self, group: str, since: Position | None, callback: Any) -> None:
        self.reads += 1
        if self.failing:
            from realtime.codes import Unavailable

            callback(Unavailable("away"))
            return
        epoch, log, top = self._stream(group)
        at = Position(epoch, top)
        if since is None:
            history = History(True, at, [])
        else:
            missed = [Item(epoch, offset, 0, text) for offset, text in log if offset > since.offset]
            whole = since.epoch == epoch and since.offset <= top and len(missed) == top - since.offset
            history = History(whole, at, missed if whole else [])
        self.wire.append((lambda: callback(history),))

    def pump(self, count: int = 1_000_000) -> None:
        """Take up to ``count`` things from the wire."""
        for _ in range(count):
            if not self.wire:
                return
            step, *args = self.wire.popleft()
            step(*args)

    def _item(self, group: str, item: Item) -> None:
        if group in self.joined:
            self.sink.on_item(group, item)

    def _stream(self, group: str) -> tuple[str, list[tuple[int, bytes]], int]:
        return self._streams.setdefault(group, (f"e{self.runs}", [], 0))
