"""Which part this bridge plays: active, standby, or undecided; and what each does with a message (DESIGN 2.5).

The active bridge publishes. A standby keeps what carries a publisher's id, and publishes it when it takes over: what
the dead bridge had published already is recognised by its id. While nobody knows who is active, messages wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from realtime.bridge.lease import Lease, View
from realtime.bridge.outbox import Failure, Job, Outbox
from realtime.bridge.standby import StandbyBuffer
from realtime.codes import RealtimeError

logger = logging.getLogger(__name__)

_RETRY: Final = 0.1
_FREE_LEASE: Final = 0.05
_HANDOVER: Final = 6.0
"""Seconds for which a standby trusts the announcement that the active bridge is about to release the lease."""
_DEFERENCE: Final = 0.25
"""Part of the lease for which a bridge that is not in step leaves a free lease to those that are."""


class Role(StrEnum):
    """The part a bridge plays."""

    ACTIVE = "active"
    STANDBY = "standby"
    UNDECIDED = "undecided"


class Election:
    """Keeps the lease, or waits for it.

    ``oldest`` tells when the oldest unfinished message was received; ``on_change`` is called with every new role.
    """

    def __init__(
        self,
        lease: Lease,
        outbox: Outbox,
        bridge_id: str,
        *,
        oldest: Callable[[], float | None],
        on_change: Callable[[Role], None],
    ) -> None:
        self.role = Role.UNDECIDED
        self.buffer = StandbyBuffer()
        self.in_step = False
        """Whether this bridge has everything that the active one may not have published."""
        self.dropped = 0
        """Messages without an id that another active bridge had to deliver."""
        self._lease = lease
        self._outbox = outbox
        self._id = bridge_id
        self._oldest = oldest
        self._subscribed = False
        self._missed_some = False
        self._free_since: float | None = None
        self._on_change = on_change
        self._looked = False
        self._leaving = False
        self._handed_over = asyncio.Event()
        self._successor_of = ""
        self._successor_until = 0.0
        self._wake = asyncio.Event()
        self._next_mark = 0
        self._done_mark = 0
        self._marks: deque[tuple[int, float]] = deque()

    def take(self, job: Job) -> None:
        """Do with a message from pub/sub what the role asks for."""
        if self._handed_over.is_set():
            return
        if self.role is Role.STANDBY:
            if job.routed.id_given:
                self.buffer.add(job)
            return
        job.owned = self._lease.held()
        self._outbox.submit(job)

    def on_event(self, data: bytes) -> None:
        """Take what a bridge said on ``keys.BRIDGE_EVENTS``; its place among the messages is exact."""
        match data.decode(errors="replace").split():
            case ["mark", fence, number] if fence.isdecimal() and number.isdecimal():
                if self.role is Role.ACTIVE and int(fence) == self._lease.fence:
                    self._marks.append((int(number), time.monotonic()))
                else:
                    self.buffer.mark(int(fence), int(number))
            case ["handover", bridge_id] if bridge_id == self._id:
                self._handed_over.set()
            case ["handover", bridge_id] if self.role is Role.STANDBY:
                self._successor_of, self._successor_until = bridge_id, time.monotonic() + _HANDOVER
                self._become(Role.UNDECIDED)
            case ["released", _]:
                self._wake.set()
            case _:
                pass

    def on_subscription(self, subscribed: bool) -> None:
        """Note that the subscription began, or ended: from then on messages are missed."""
        self._subscribed = subscribed
        if not subscribed:
            self._missed_some = True
            self.in_step = False
            self.buffer.forget_marks()
        self._wake.set()

    async def run(self) -> None:
        """Look at the lease again and again, for ever."""
        while True:
            self._wake.clear()
            try:
                pause = await self._look()
            except RealtimeError as error:
                logger.debug("lease not readable: %s", error)
                if self.role is Role.STANDBY:
                    self._become(Role.UNDECIDED)
                pause = _RETRY
            await self._pause(pause)

    async def announce_handover(self, publish: Callable[[bytes], asyncio.Future[object]], timeout: float) -> None:
        """Tell the standby that everything behind this announcement is its own; take nothing from there on."""
        self._leaving = True
        try:
            if self.role is Role.ACTIVE and self._lease.held() and self._subscribed:
                async with asyncio.timeout(timeout):
                    await publish(f"handover {self._id}".encode())
                    await self._handed_over.wait()
        except (RealtimeError, TimeoutError) as error:
            logger.warning("handover not announced", extra={"error": str(error) or type(error).__name__})
        self._handed_over.set()

    async def _look(self) -> float:
        if self._missed_some and self.role is Role.ACTIVE:
            await self._lease.release()  # a standby has what was missed
            self._become(Role.UNDECIDED)
        self._missed_some = False
        self._next_mark += 1
        view = await self._lease.look(
            want=self._may_take(), done_mark=self._find_done_mark(), next_mark=self._next_mark
        )
        self._looked = True
        self._settle(view)
        self._lease.fence = view.fence
        if view.holder and view.holder != self._id:
            return min(self._lease.seconds / 4, view.left + 0.02)
        return self._lease.seconds / 4 if view.holder else _FREE_LEASE

    def _may_take(self) -> bool:
        """Whether to take the lease if it is free: at once when in step, later when no other bridge did."""
        if not self._looked or not self._subscribed or self._leaving:
            return False
        if self.in_step or self._lease.fence == 0:
            return True
        return self._free_since is not None and time.monotonic() - self._free_since >= _DEFERENCE * self._lease.seconds

    def _settle(self, view: View) -> None:
        if view.holder:
            self._free_since = None
        elif self._free_since is None:
            self._free_since = time.monotonic()
        if view.holder == self._id:
            self._lead(view)
        elif not view.holder:
            self._become(Role.UNDECIDED)
        elif view.holder != self._successor_of or time.monotonic() > self._successor_until:
            self._become(Role.STANDBY)
            self._yield_jobs()
            self.in_step = self.buffer.done(view.fence, view.mark) or self.in_step

    def _lead(self, view: View) -> None:
        if self.role is not Role.ACTIVE or view.fence != self._lease.fence:
            if view.fence > self._lease.fence + 1:
                self._yield_jobs()  # another bridge was active since we last looked
                self._become(Role.UNDECIDED)
            self._marks.clear()
            self._done_mark = 0
            self._lease.fence = view.fence
            kept = self.buffer.take()
            self._outbox.put_first(kept)
            logger.info("bridge took over", extra={"fence": view.fence, "buffered": len(kept), "in_step": self.in_step})
            self.in_step = True
            self._become(Role.ACTIVE)
        self._outbox.resume()

    def _yield_jobs(self) -> None:
        """Leave to the active bridge what is not published yet; what has an id is kept in case that it dies."""
        for job in self._outbox.surrender():
            if job.source == "pubsub" and job.routed.id_given:
                self.buffer.put_in_order(job)
            elif job.source == "stream" or job.owned:
                job.done(job, Failure("lease", "another bridge became active before Redis took the message"))
            else:
                self.dropped += 1

    def _find_done_mark(self) -> int:
        oldest = self._oldest()
        while self._marks and (oldest is None or self._marks[0][1] < oldest):
            self._done_mark = self._marks.popleft()[0]
        return self._done_mark

    def _become(self, role: Role) -> None:
        if role is not self.role:
            logger.info("bridge role", extra={"role": str(role), "was": str(self.role)})
            self.role = role
            self._on_change(role)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
