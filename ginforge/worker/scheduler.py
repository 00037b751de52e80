"""Beat: periodic tasks become jobs with one key per time, so that two beats make one of each; due jobs are sent."""

from __future__ import annotations

import logging
import time
from typing import Any

from celery.beat import Scheduler
from django.db import close_old_connections

from ginforge.worker import heartbeat, jobs
from ginforge.worker.dispatch import dispatch_due

logger = logging.getLogger(__name__)


class JobScheduler(Scheduler):
    """Keeps nothing of its own: what was sent is in the table of jobs."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Do what is due and return the seconds until the next look."""
        delay: float = super().tick(*args, **kwargs)
        close_old_connections()
        try:
            more = dispatch_due(self.app) > 0
            heartbeat.beat("beat")
        except Exception:
            logger.exception("due jobs were not sent; trying again")
            more = False
        return 0.05 if more else min(delay, self.max_interval)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **kwargs: Any) -> None:  # noqa: ARG002
        """Make the job of this time, once in the cluster."""
        entry = self.reserve(entry) if advance else entry
        close_old_connections()
        jobs.schedule(entry.task, entry.kwargs or {}, key=f"{entry.name}:{slot(entry.schedule, time.time())}")


def slot(schedule: Any, now: float) -> int:
    """Return the number of a schedule's time: the same for all beats that fire at it."""
    every = getattr(schedule, "run_every", None)
    return int(now // (every.total_seconds() if every else 60))
