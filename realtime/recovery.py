"""Answers ``resume``: finds what a client missed on each stream and joins it live, without a hole and without a double.

While the histories are read, the connection's live frames are held back (``Cork``). Then it gets ``resumed``, what it
missed in order, and the frames held back (DESIGN 2.5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from realtime.codes import ErrorCode
from realtime.groups import BROADCAST, room_group, user_group
from realtime.layer import History, StreamLoopLayer
from realtime.protocol import MessageId, encode_name, message_id, splice_stream
from realtime.sequencer import Item, Position
from realtime.session import BROADCAST_STREAM, ROOM_STREAM_PREFIX, USER_STREAM, resumed_text
from realtime.streams import Streams

if TYPE_CHECKING:
    from realtime.connection import Connection


class Recovery:
    """One ``resume`` of one connection; ``done(texts)`` gets ``resumed`` and the missed messages, in order."""

    def __init__(
        self,
        layer: StreamLoopLayer,
        streams: Streams,
        connection: Connection,
        *,
        request: MessageId | None,
        done: Callable[[list[bytes]], None],
    ) -> None:
        self._layer = layer
        self._streams = streams
        self._connection = connection
        self._request = request
        self._done = done
        self._results: dict[str, dict[str, Any]] = {}
        self._texts: dict[str, list[bytes]] = {}
        self._waiting = 1
        self.ids: set[str] = set()
        """Ids of the replayed messages of the user's stream."""

    def start(self, positions: dict[str, Position], refused: set[str]) -> None:
        """Recover every stream in ``positions`` but those in ``refused``, whose rooms the client may not enter."""
        for name, since in positions.items():
            self._results[name] = {"recovered": False, "count": 0}
            if name in refused:
                self.refuse(name)
            else:
                self._waiting += 1
                self._recover(name, since)
        self._finish_one()

    def refuse(self, name: str) -> None:
        """Note that a room is not open to this client (or not there, which looks the same)."""
        self._results[name]["error"] = {"code": int(ErrorCode.FORBIDDEN), "message": "you may not enter this room"}

    def _recover(self, name: str, since: Position) -> None:
        group = self._group(name)
        connection = self._connection

        def entered(position: Position | Exception) -> None:
            if isinstance(position, Exception) or connection.closing:
                self._streams.leave(group, connection)
                self._fail(name)
                return
            if name.startswith(ROOM_STREAM_PREFIX):
                rooms = connection.session.rooms or {}
                rooms[name.removeprefix(ROOM_STREAM_PREFIX)] = position.offset
                connection.session.rooms = rooms
            self._layer.read(group, since, lambda history: self._read(name, position, history))

        joined = self._joined_at(name)
        if joined is None:
            room = name.removeprefix(ROOM_STREAM_PREFIX)
            self._abreast(group, since, lambda: self._streams.enter(group, name, room, connection, entered))
        else:
            self._layer.read(group, since, lambda history: self._read(name, joined, history))

    def _abreast(self, group: str, since: Position, go_on: Callable[[], None]) -> None:
        """Let messages arrive first that the client has seen elsewhere and this process has not seen yet."""
        stream = self._streams.get(group)
        behind = stream is not None and stream.started and stream.position.epoch == since.epoch
        if stream is not None and behind and stream.position.offset < since.offset:
            self._layer.read(group, None, lambda _: go_on())  # the reply comes behind them
        else:
            go_on()

    def _read(self, name: str, joined: Position, history: History | Exception) -> None:
        """Keep what lies between the client's position and the one behind which it hears everything live."""
        if isinstance(history, Exception):
            self._fail(name)
            return
        if not history.recovered or history.top.epoch != joined.epoch:
            stream = self._streams.get(self._group(name))
            now = stream.position if stream is not None else joined
            self._results[name] |= {"epoch": now.epoch, "offset": now.offset}
        else:
            missed = [item for item in history.missed if item.offset <= joined.offset]
            if name == USER_STREAM:
                missed = self._unsent(missed)
            self._texts[name] = [self._text(name, item) for item in missed]
            self._results[name] = {
                "recovered": True,
                "count": len(missed),
                "epoch": joined.epoch,
                "offset": joined.offset,
            }
        self._finish_one()

    def _unsent(self, missed: list[Item]) -> list[Item]:
        """Leave out what this connection was sent from the store already, and note the ids of the rest."""
        sent = self._connection.pending_ids or ()
        unsent = []
        for item in missed:
            found = message_id(item.text)
            if found not in sent:
                unsent.append(item)
                if found is not None:
                    self.ids.add(found)
        return unsent

    def _fail(self, name: str) -> None:
        self._results[name]["error"] = {"code": int(ErrorCode.UNAVAILABLE), "message": "try again later"}
        self._finish_one()

    def _finish_one(self) -> None:
        self._waiting -= 1
        if self._waiting == 0:
            missed = [text for name in self._results for text in self._texts.get(name, ())]
            self._done([resumed_text(self._results, self._request), *missed])

    def _group(self, name: str) -> str:
        if name == BROADCAST_STREAM:
            return BROADCAST
        if name == USER_STREAM:
            return user_group(self._connection.principal.user_id)
        return room_group(name.removeprefix(ROOM_STREAM_PREFIX))

    def _joined_at(self, name: str) -> Position | None:
        """Where this connection's live delivery of a stream began; None when it is not a member."""
        stream = self._streams.get(self._group(name))
        if stream is None or self._connection not in stream.members:
            return None
        connection = self._connection
        if name == BROADCAST_STREAM:
            offset = connection.broadcast_offset
        elif name == USER_STREAM:
            offset = connection.user_offset
        else:
            offset = (connection.session.rooms or {}).get(name.removeprefix(ROOM_STREAM_PREFIX), 0)
        return Position(stream.position.epoch, offset)

    def _text(self, name: str, item: Item) -> bytes:
        return splice_stream(item.text, encode_name(name), item.epoch, item.offset)
