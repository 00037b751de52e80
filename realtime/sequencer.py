"""Puts the messages of one stream into the order of their offsets and notices what is missing. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec


class Position(msgspec.Struct, frozen=True):
    """A place in a stream: everything up to ``offset`` of ``epoch`` has been seen."""

    epoch: str
    offset: int


class Item(msgspec.Struct, frozen=True):
    """One message of a stream on its way to the members; ``sent_ms`` is the sender's clock, Unix milliseconds."""

    epoch: str
    offset: int
    sent_ms: int
    text: bytes


class Feed(Enum):
    """What became of an arriving message."""

    DELIVER = 1
    DUPLICATE = 2
    HELD = 3
    """A message before it is missing; ask the history, then call ``fill``."""


class Sequencer:
    """Position of this process in one stream, and the messages held back until a hole before them is filled."""

    __slots__ = ("epoch", "filling", "held", "offset")

    def __init__(self) -> None:
        self.epoch = ""
        self.offset = 0
        self.filling = True
        self.held: list[Item] | None = None

    @property
    def position(self) -> Position:
        """The last place that was delivered."""
        return Position(self.epoch, self.offset)

    def feed(self, item: Item) -> Feed:
        """Take a live message: the next one is delivered, an old one dropped, any other held."""
        if not self.filling and item.epoch == self.epoch:
            if item.offset == self.offset + 1:
                self.offset = item.offset
                return Feed.DELIVER
            if item.offset <= self.offset:
                return Feed.DUPLICATE
        if self.held is None:
            self.held = []
        self.held.append(item)
        return Feed.HELD

    def start_at(self, epoch: str, offset: int) -> list[Item]:
        """Begin (or begin anew) at a position; return what was held behind it, in order."""
        self.epoch, self.offset, self.filling = epoch, offset, False
        return self._release()

    def fill(self, recovered: bool, top: Position, missed: Sequence[Item]) -> list[Item]:
        """Take the history's answer; return what to deliver now, in order.

        With ``recovered`` false the stream jumps over the hole and the caller has to tell the members: to the start
        of another epoch (which then is read from its beginning), or else to the first message held, or to the top.
        """
        if recovered and top.epoch == self.epoch:
            ready = [item for item in missed if item.offset > self.offset]
            self.offset = max(self.offset, top.offset)
            self.filling = False
            return ready + self._release()
        if top.epoch != self.epoch:
            self.epoch, self.offset = top.epoch, 0
        else:
            self.offset = min((i.offset - 1 for i in self.held or () if i.epoch == top.epoch), default=top.offset)
        self.filling = False
        return self._release()

    def _release(self) -> list[Item]:
        """Feed the held messages again; those behind another hole stay held.

        Those of another epoch are dropped: the answer that brought us here is younger, so their epoch has ended.
        """
        held, self.held = self.held, None
        current = [item for item in held or () if item.epoch == self.epoch]
        return [item for item in current if self.feed(item) is Feed.DELIVER]
