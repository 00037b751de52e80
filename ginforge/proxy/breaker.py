"""The circuit breaker of one instance, without a clock of its own."""

from __future__ import annotations

from enum import IntEnum


class State(IntEnum):
    """What a breaker lets through; the number is the metric's value."""

    CLOSED = 0
    """Everything."""
    HALF_OPEN = 1
    """One trial."""
    OPEN = 2
    """Nothing until its time is over."""


class Breaker:
    """Opens after ``failures`` in a row, for ``seconds``; then one trial decides. Seconds are the caller's."""

    __slots__ = ("_failed", "_failures", "_opened_at", "_seconds", "_trial", "state")

    def __init__(self, failures: int, seconds: float) -> None:
        self._failures = failures
        self._seconds = seconds
        self._failed = 0
        self._opened_at = 0.0
        self._trial = False
        self.state = State.CLOSED

    def allows(self, now: float) -> bool:
        """Tell whether a request may be sent now."""
        if self.state is State.OPEN and now - self._opened_at >= self._seconds:
            self.state = State.HALF_OPEN
        return self.state is State.CLOSED or (self.state is State.HALF_OPEN and not self._trial)

    def begin(self) -> None:
        """Note that a request is sent."""
        self._trial = self.state is State.HALF_OPEN

    def succeed(self) -> None:
        """Note an answer: an answer to the trial, and one in time before it opened, closes the circuit."""
        self._failed = 0
        if self.state is not State.OPEN:
            self.state = State.CLOSED
            self._trial = False

    def fail(self, now: float) -> None:
        """Note a failure."""
        self._failed += 1
        if self.state is State.HALF_OPEN or (self.state is State.CLOSED and self._failed >= self._failures):
            self.state = State.OPEN
            self._opened_at = now
            self._trial = False

    def abandon(self) -> None:
        """Note a request that ended without saying anything about the instance: its client went away."""
        self._trial = False
