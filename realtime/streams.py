"""The streams this process takes part in: joined with their first local member, left with their last.

Here arriving items get their order (``sequencer``), holes are filled from the history in Redis, and what is in order
goes to the fan-out. Callbacks run in Redis' order, so "the position now" is exact whenever it is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from realtime.codes import RedisReplyError, Unavailable
from realtime.fanout import Fanout
from realtime.layer import History, StreamLoopLayer
from realtime.link import Callback
from realtime.protocol import encode_name, splice_stream
from realtime.sequencer import Feed, Item, Position, Sequencer

if TYPE_CHECKING:
    from realtime.connection import Connection

logger = logging.getLogger(__name__)

EnterCallback = Callable[[Position | Exception], None]
_CHECKED_AT_ONCE: Final = 500


class LocalStream:
    """One group of this process: its members and its place in the stream."""

    __slots__ = ("filled_ids", "group", "key", "members", "name", "name_json", "sequencer", "started", "waiters")

    def __init__(self, group: str, name: str, key: str) -> None:
        self.group = group
        self.name = name
        """Name on the wire: ``broadcast``, ``user`` or ``room:<room>``."""
        self.key = key
        """The user id or the room."""
        self.name_json = encode_name(name)
        self.members: dict[Connection, None] = {}
        self.sequencer = Sequencer()
        self.started = False
        self.filled_ids: set[str] | None = None
        """Ids of messages that came out of the history, after this process had missed them."""
        self.waiters: list[tuple[Connection, EnterCallback]] = []

    @property
    def position(self) -> Position:
        """What all members have been sent."""
        return self.sequencer.position


class Streams:
    """All local streams, by group."""

    def __init__(
        self,
        layer: StreamLoopLayer,
        fanout: Fanout,
        *,
        on_reset: Callable[[LocalStream, Position], None],
        on_open: Callable[[LocalStream], None],
        on_close: Callable[[LocalStream], None],
        on_filled: Callable[[LocalStream, list[Item]], None] | None = None,
    ) -> None:
        self._layer = layer
        self._fanout = fanout
        self._on_reset = on_reset
        self._on_open = on_open
        self._on_close = on_close
        self._on_filled = on_filled
        self._streams: dict[str, LocalStream] = {}
        self._pinned: set[str] = set()
        self._unchecked: list[str] = []

    def get(self, group: str) -> LocalStream | None:
        """Return the local stream of a group, if this process has one."""
        return self._streams.get(group)

    def all(self) -> list[LocalStream]:
        """Return every local stream."""
        return list(self._streams.values())

    # Members

    def pin(self, group: str, name: str, callback: Callback) -> LocalStream:
        """Take part in a stream whether or not it has members."""
        self._pinned.add(group)
        stream = self._streams.get(group)
        if stream is None:
            stream = self._open(group, name, "")
            self._begin(stream, callback)
        return stream

    def enter(self, group: str, name: str, key: str, connection: Connection, callback: EnterCallback) -> None:
        """Make a connection a member; ``callback`` gets the position behind which it hears everything."""
        stream = self._streams.get(group)
        if stream is None:
            stream = self._open(group, name, key)
            stream.waiters.append((connection, callback))
            self._begin(stream, _ignore)
        elif stream.started:
            stream.members[connection] = None
            callback(stream.position)
        else:
            stream.waiters.append((connection, callback))

    def leave(self, group: str, connection: Connection) -> None:
        """End a membership; what is still being delivered to this member is delivered first."""
        stream = self._streams.get(group)
        if stream is None or connection not in stream.members:
            return
        if self._fanout.busy:
            self._fanout.catch_up(connection)
        del stream.members[connection]
        self._close_if_unused(stream)

    def _open(self, group: str, name: str, key: str) -> LocalStream:
        stream = self._streams[group] = LocalStream(group, name, key)
        self._on_open(stream)
        return stream

    def _begin(self, stream: LocalStream, callback: Callback) -> None:
        """Subscribe and read the position; whoever waits is answered, perhaps at once while Redis is away."""
        group = stream.group
        self._layer.join(group, _ignore)

        def started(history: History | Exception) -> None:
            if self._streams.get(group) is not stream or stream.started:
                return
            if isinstance(history, Exception):
                self._fail(stream, history)
                callback(history)
                return
            self._start(stream, history.top)
            callback(None)

        self._layer.read(group, None, started)

    def _start(self, stream: LocalStream, top: Position) -> None:
        stream.started = True
        ready = stream.sequencer.start_at(top.epoch, top.offset)
        waiters, stream.waiters = stream.waiters, []
        for connection, callback in waiters:
            if connection.closing:
                callback(Unavailable("the connection has gone"))
            else:
                stream.members[connection] = None
                callback(top)
        for item in ready:
            self._deliver(stream, item)
        self._close_if_unused(stream)

    def _fail(self, stream: LocalStream, error: Exception) -> None:
        waiters, stream.waiters = stream.waiters, []
        for _, callback in waiters:
            callback(error)
        self._close_if_unused(stream, force=True)

    def _close_if_unused(self, stream: LocalStream, *, force: bool = False) -> None:
        if stream.members or stream.waiters or (stream.group in self._pinned and not force):
            return
        if self._streams.pop(stream.group, None) is not None:
            self._layer.leave(stream.group)
            self._on_close(stream)

    # Items

    def on_item(self, group: str, item: Item) -> None:
        """Deliver what is next, drop what was there before, and look for what is missing."""
        stream = self._streams.get(group)
        if stream is None:
            return
        feed = stream.sequencer.feed(item)
        if feed is Feed.DELIVER:
            self._deliver(stream, item)
        elif feed is Feed.HELD and not stream.sequencer.filling:
            self._fill(stream)

    def _deliver(self, stream: LocalStream, item: Item) -> None:
        text = splice_stream(item.text, stream.name_json, item.epoch, item.offset)
        self._fanout.deliver(text, stream.members, item.sent_ms)

    def _fill(self, stream: LocalStream) -> None:
        """Read from the history what came behind our position; deliver it, or tell the members that it is gone."""
        sequencer = stream.sequencer
        sequencer.filling = True

        def answered(history: History | Exception) -> None:
            if self._streams.get(stream.group) is not stream:
                return
            if isinstance(history, Exception):
                if isinstance(history, RedisReplyError):
                    logger.error("history of %s cannot be read: %s", stream.group, history)
                return
            ready = sequencer.fill(history.recovered, history.top, history.missed)
            if not history.recovered:
                start = ready[0].offset - 1 if ready else sequencer.offset
                self._on_reset(stream, Position(sequencer.epoch, start))
            for item in ready:
                self._deliver(stream, item)
            if history.missed and self._on_filled is not None:
                self._on_filled(stream, history.missed)
            if sequencer.held or (sequencer.epoch == history.top.epoch and sequencer.offset < history.top.offset):
                self._fill(stream)

        self._layer.read(stream.group, stream.position, answered)

    # Faults

    def link_up(self, shard: int) -> None:
        """Fill every stream of a shard that came back."""
        for stream in self.all():
            if self._layer.shard(stream.group).index == shard and stream.started:
                self._fill(stream)

    def check_tops(self) -> None:
        """Compare some streams with their top in Redis, others the next time: a silent loss does not stay unseen."""
        if not self._unchecked:
            self._unchecked = list(self._streams)
        groups, self._unchecked = self._unchecked[:_CHECKED_AT_ONCE], self._unchecked[_CHECKED_AT_ONCE:]
        for group in groups:
            stream = self._streams.get(group)
            if stream is not None and stream.started:
                self._check(stream)

    def _check(self, stream: LocalStream) -> None:
        def answered(history: Any) -> None:
            sequencer = stream.sequencer
            if isinstance(history, Exception) or self._streams.get(stream.group) is not stream:
                return
            if sequencer.filling or history.top != sequencer.position:
                self._fill(stream)

        self._layer.read(stream.group, None, answered)


def _ignore(reply: Any) -> None:
    """Take a reply whose failure the following read will tell as well."""
