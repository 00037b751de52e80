"""What happened, and what it means: the log of a run and the checker that accounts for every message."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple


class Sent(NamedTuple):
    """A message a publisher sent; ``accepted`` when Redis confirmed that somebody took it. Monotonic seconds."""

    stream: str
    number: int
    at: float
    accepted: bool


class Received(NamedTuple):
    """A message a client got on one of its streams."""

    client: str
    stream: str
    number: int
    at: float


class Told(NamedTuple):
    """A client was told (``recovered: false``) that something on this stream may be lost to it."""

    client: str
    stream: str
    at: float


class Joined(NamedTuple):
    """From here on a client has to hear this stream."""

    client: str
    stream: str
    at: float


@dataclass(slots=True)
class Verdict:
    """The account of one run; only ``told_lost`` may be above zero."""

    messages: int = 0
    deliveries: int = 0
    lost_unseen: list[tuple[str, str, int]] = field(default_factory=list)
    told_lost: int = 0
    doubled: list[tuple[str, str, int]] = field(default_factory=list)
    reordered: list[tuple[str, str, int]] = field(default_factory=list)
    phantom: list[tuple[str, str, int]] = field(default_factory=list)
    foreign: list[tuple[str, str, int]] = field(default_factory=list)
    longest_delay: float = 0.0
    """Seconds from the first publication of a message to its last first-time delivery."""

    @property
    def clean(self) -> bool:
        """Whether nothing happened that must not happen."""
        return not (self.lost_unseen or self.doubled or self.reordered or self.phantom or self.foreign)

    def describe(self) -> str:
        """Name the violations, a few of each kind."""
        kinds = ("lost_unseen", "doubled", "reordered", "phantom", "foreign")
        found = {kind: getattr(self, kind) for kind in kinds if getattr(self, kind)}
        return "; ".join(f"{kind} {len(rows)}: {rows[:5]}" for kind, rows in found.items()) or "clean"


class History:
    """The log of a run."""

    def __init__(self) -> None:
        self.sent: dict[tuple[str, int], Sent] = {}
        self.received: list[Received] = []
        self.told: list[Told] = []
        self.joined: dict[tuple[str, str], Joined] = {}

    def missing(self) -> list[tuple[str, str, int]]:
        """List what clients have to get and did not get, nor were told of."""
        got = {(r.client, r.stream, r.number) for r in self.received}
        return [row for row in self._due() if row not in got and not self._was_told(row)]

    def _due(self) -> list[tuple[str, str, int]]:
        by_stream: dict[str, list[Sent]] = defaultdict(list)
        for sent in self.sent.values():
            if sent.accepted:
                by_stream[sent.stream].append(sent)
        return [
            (join.client, join.stream, sent.number)
            for join in self.joined.values()
            for sent in by_stream[join.stream]
            if sent.at > join.at
        ]

    def _was_told(self, row: tuple[str, str, int]) -> bool:
        client, stream, number = row
        at = self.sent[stream, number].at
        return any(told.at >= at for told in self.told if told.client == client and told.stream == stream)

    def check(self) -> Verdict:
        """Account for every message."""
        verdict = Verdict(messages=len(self.sent), deliveries=len(self.received))
        highest: dict[tuple[str, str], int] = {}
        seen: set[tuple[str, str, int]] = set()
        for received in self.received:
            row = (received.client, received.stream, received.number)
            sent = self.sent.get((received.stream, received.number))
            if sent is None:
                verdict.phantom.append(row)
            elif (received.client, received.stream) not in self.joined:
                verdict.foreign.append(row)
            elif row in seen:
                verdict.doubled.append(row)
            else:
                if received.number < highest.get(row[:2], -1):
                    verdict.reordered.append(row)
                highest[row[:2]] = max(received.number, highest.get(row[:2], -1))
                verdict.longest_delay = max(verdict.longest_delay, received.at - sent.at)
            seen.add(row)
        due = [row for row in self._due() if row not in seen]
        verdict.lost_unseen = [row for row in due if not self._was_told(row)]
        verdict.told_lost = len(due) - len(verdict.lost_unseen)
        return verdict
