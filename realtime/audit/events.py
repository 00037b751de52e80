"""Which events there are, and how each becomes a line of the log."""

from __future__ import annotations

import enum
import logging
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from realtime import metrics
from realtime.limits import TokenBucket

logger = logging.getLogger("realtime.audit")

MAX_TEXT: Final = 200
"""Characters of each field that are kept."""
_RATE: Final = 5.0
_BURST: Final = 200.0
_WAITING: Final = 2000


class Event(enum.StrEnum):
    """What happened."""

    TOKEN_REFUSED = "token_refused"  # noqa: S105  # no password
    ORIGIN_REFUSED = "origin_refused"
    PERMISSION_DENIED = "permission_denied"
    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOCKED_OUT = "locked_out"
    LOGOUT = "logout"
    REVOKED = "revoked"
    DISCONNECTED = "disconnected"
    EVICTED = "evicted"
    STAFF_SENT = "staff_sent"
    DEAD_LETTER = "dead_letter"
    LEFT_OUT = "left_out"
    """So many events of one kind came too fast to be kept."""


_BOUNDED: Final = frozenset(Event) - {Event.STAFF_SENT, Event.DEAD_LETTER, Event.LEFT_OUT}
"""What strangers can cause as often as they like; what staff does is kept always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One event."""

    event: Event
    at: float
    """Unix seconds."""
    actor: str = ""
    """User id or name of who did it; empty when not known."""
    target: str = ""
    """User, client, token id, room or path it was done to."""
    address: str = ""
    detail: str = ""


class Recorder:
    """Bounds the rate of each kind of event, logs, and keeps what is to be stored; one per process."""

    def __init__(self) -> None:
        self._buckets: dict[Event, TokenBucket] = {}
        self._left_out: dict[Event, int] = {}
        self.waiting: deque[Entry] | None = None
        """Entries on their way into the database; None while nobody stores them."""

    def add(self, entry: Entry) -> None:
        """Take one event."""
        if entry.event in _BOUNDED and not self._is_due(entry.event, entry.at):
            self._left_out[entry.event] = self._left_out.get(entry.event, 0) + 1
            metrics.errors.inc("audit_left_out")
            return
        if missed := self._left_out.pop(entry.event, 0):
            self._write(Entry(event=Event.LEFT_OUT, at=entry.at, target=entry.event, detail=str(missed)))
        self._write(entry)

    def left_out(self) -> list[Entry]:
        """Return, and forget, how many events of each kind were left out."""
        missed, self._left_out = self._left_out, {}
        now = time.time()
        return [Entry(event=Event.LEFT_OUT, at=now, target=kind, detail=str(n)) for kind, n in missed.items()]

    def _is_due(self, event: Event, now: float) -> bool:
        bucket = self._buckets.get(event)
        if bucket is None:
            bucket = self._buckets[event] = TokenBucket(_BURST, now)
        return bucket.take(now, _RATE, _BURST)

    def _write(self, entry: Entry) -> None:
        log(entry)
        if self.waiting is None:
            return
        if len(self.waiting) >= _WAITING:  # the database is away
            metrics.errors.inc("audit_left_out")
            return
        self.waiting.append(entry)


def log(entry: Entry) -> None:
    """Write the line."""
    names = ("actor", "target", "address", "detail")
    logger.info(str(entry.event), extra={name: value for name in names if (value := getattr(entry, name))})


recorder: Final = Recorder()


def record(event: Event, *, actor: str = "", target: str = "", address: str = "", detail: str = "") -> None:
    """Note that something concerning security happened; texts are cut at 200 characters."""
    recorder.add(
        Entry(
            event=event,
            at=time.time(),
            actor=_clean(actor),
            target=_clean(target),
            address=_clean(address),
            detail=_clean(detail),
        )
    )


def _clean(text: str) -> str:
    """Cut, and take out what could forge a line or break a database."""
    return "".join(c if c.isprintable() else "�" for c in str(text)[:MAX_TEXT])
