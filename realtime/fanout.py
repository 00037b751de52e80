"""Delivers one frame to many connections, fairly: large groups in slices, so that nobody waits for them.

A message to a few overtakes a broadcast still being delivered to others, yet every single client sees its messages
in the order in which they arrived from Redis: before a client gets something newer, it gets what is still due.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from realtime.sockets import Frame

if TYPE_CHECKING:
    from realtime.connection import Connection

INLINE_LIMIT: Final = 256
"""Groups up to this size are served at once, when no larger job is under way."""
SLICE: Final = 0.002
"""Seconds a job may run before others get their turn."""
_CHECK_EVERY: Final = 0x3F


class Job:
    """One frame on its way to the members a group had when it arrived."""

    __slots__ = ("frame", "members", "number", "rest", "sent_ms", "started")

    def __init__(self, number: int, frame: Frame, members: dict[Connection, None], sent_ms: int) -> None:
        self.number = number
        self.sent_ms = sent_ms
        self.frame = frame
        self.members = members
        self.rest: Iterator[Connection] = iter(members)
        self.started = time.perf_counter()


class Fanout:
    """The deliveries of one process; ``on_done(recipients, seconds, sent_ms)`` is called once per message."""

    def __init__(self, on_done: Callable[[int, float, int], None]) -> None:
        self._jobs: deque[Job] = deque()
        self._number = 0
        self._on_done = on_done
        self._scheduled = False

    @property
    def busy(self) -> bool:
        """Whether large jobs are under way."""
        return bool(self._jobs)

    def deliver(self, text: bytes, members: dict[Connection, None], sent_ms: int) -> None:
        """Send ``text`` to every member; ``sent_ms`` is when it was published, Unix milliseconds."""
        if not members:
            return
        frame = next(iter(members)).socket.make_frame(text)
        if len(members) > INLINE_LIMIT:
            self._enqueue(frame, members, sent_ms)
            return
        started = time.perf_counter()
        if self._jobs:
            for connection in members:
                self.catch_up(connection)
                connection.socket.send_frame(frame)
        else:
            for connection in members:
                connection.socket.send_frame(frame)
        self._on_done(len(members), time.perf_counter() - started, sent_ms)

    def catch_up(self, connection: Connection) -> None:
        """Send what larger jobs still owe this connection."""
        for job in self._jobs:
            if connection.served < job.number and connection in job.members:
                connection.served = job.number
                connection.socket.send_frame(job.frame)

    def _enqueue(self, frame: Frame, members: dict[Connection, None], sent_ms: int) -> None:
        self._number += 1
        self._jobs.append(Job(self._number, frame, members.copy(), sent_ms))
        if not self._scheduled:
            self._work()

    def _work(self) -> None:
        """Run for one slice, then give way to whatever else the event loop has."""
        self._scheduled = False
        until = time.perf_counter() + SLICE
        while self._jobs:
            job = self._jobs[0]
            if not _run(job, until):
                self._scheduled = True
                asyncio.get_running_loop().call_soon(self._work)
                return
            self._jobs.popleft()
            self._on_done(len(job.members), time.perf_counter() - job.started, job.sent_ms)


def _run(job: Job, until: float) -> bool:
    """Serve members until the job is done (True) or the time is up (False)."""
    number, frame, clock = job.number, job.frame, time.perf_counter
    for count, connection in enumerate(job.rest):
        if connection.served < number:
            connection.served = number
            connection.socket.send_frame(frame)
        if not count & _CHECK_EVERY and clock() > until:
            return False
    return True
