"""What a standby keeps: the messages the active bridge may not have published, exactly from its last mark on."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Final

from realtime.bridge.outbox import Job

MAX_JOBS: Final = 100_000
MAX_BYTES: Final = 64 * 1_048_576


class StandbyBuffer:
    """Messages with a publisher's id in the order of arrival, divided by the active bridge's marks.

    Bounded: the oldest go first, and ``dropped`` counts them.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.size = 0
        self._jobs: deque[Job] = deque()
        self._first = 0
        self._marks: deque[tuple[int, int, int]] = deque()

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Job) -> None:
        """Keep a message until a mark behind it is done."""
        self._jobs.append(job)
        self.size += job.cost
        while len(self._jobs) > MAX_JOBS or self.size > MAX_BYTES:
            self._pop()
            self.dropped += 1

    def put_in_order(self, job: Job) -> None:
        """Keep a message that may have been received before others here."""
        if not self._jobs or job.received >= self._jobs[-1].received:
            self.add(job)
            return
        place = bisect_left(self._jobs, job.received, key=lambda other: other.received)
        self._jobs.insert(place, job)
        self.size += job.cost
        self._marks = deque((f, n, at + 1 if at > self._first + place else at) for f, n, at in self._marks)

    def mark(self, fence: int, number: int) -> None:
        """Note that the active bridge's mark stands here."""
        self._marks.append((fence, number, self._first + len(self._jobs)))

    def forget_marks(self) -> None:
        """Forget where the marks stood, because from here on messages are missing."""
        self._marks.clear()

    def done(self, fence: int, number: int) -> bool:
        """Forget everything before this mark of the active bridge; false, and no change, for marks never heard.

        True means that all that the active bridge has not finished is here.
        """
        place = max((at for f, n, at in self._marks if f == fence and n <= number), default=None)
        if place is None:
            return False
        while self._marks and self._marks[0][2] <= place:
            self._marks.popleft()
        while self._jobs and self._first < place:
            self._pop()
        return True

    def take(self) -> list[Job]:
        """Hand everything over, oldest first."""
        jobs = list(self._jobs)
        self._first += len(jobs)
        self._jobs.clear()
        self._marks.clear()
        self.size = 0
        return jobs

    def _pop(self) -> None:
        self.size -= self._jobs.popleft().cost
        self._first += 1
