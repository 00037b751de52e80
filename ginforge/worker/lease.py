"""Keeps a running job's claim alive from a thread, so that only a dead worker loses it."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Self

from django.db import DatabaseError, connection

from ginforge.worker import jobs
from ginforge.worker.models import Job

logger = logging.getLogger(__name__)


class Lease:
    """A context manager around the work of one job."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{job.pk}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(5)

    def _keep(self) -> None:
        used = False
        try:
            while not self._over.wait(jobs.lease().total_seconds() / 3):
                used = True
                try:
                    if not jobs.renew(self._job):
                        logger.warning("claim lost: job=%s", self._job.key)
                        return
                except DatabaseError as error:
                    logger.warning("claim not renewed: job=%s: %s", self._job.key, error)
        finally:
            if used:
                connection.close()
