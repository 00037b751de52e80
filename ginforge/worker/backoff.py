"""Pauses between tries: exponential, capped, with jitter."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

LONGEST_COUNTDOWN: Final = 600.0
"""Seconds a retry may wait in a Celery worker; longer ones wait in the table (the queue redelivers after an hour)."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Times in seconds; ``tries`` counts all runs, the first too."""

    base: float
    cap: float
    tries: int

    def pause(self, attempt: int, *, at_least: float = 0.0) -> float:
        """Return the pause after run number ``attempt`` (from 1): between half and all of ``base · 2^(attempt-1)``."""
        full = min(self.cap, self.base * 2.0 ** min(attempt - 1, 32))
        return max(at_least, full * random.uniform(0.5, 1.0))

    def is_over(self, attempt: int) -> bool:
        """Tell whether run number ``attempt`` was the last one."""
        return attempt >= self.tries
