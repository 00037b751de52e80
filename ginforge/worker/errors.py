"""How a job ends that does not end well."""

from __future__ import annotations


class JobError(Exception):
    """Base of what a job's body raises on purpose."""


class Refused(JobError):
    """The job can never succeed (wrong arguments, a final answer): it is parked at once."""


class TryLater(JobError):
    """The job did not succeed and may later; ``after`` is the least pause in seconds that the other side asked for."""

    def __init__(self, message: str, *, after: float = 0.0) -> None:
        super().__init__(message)
        self.after = after
