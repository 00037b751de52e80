"""Due jobs into the queue: what beat does every second. Any number of them may run."""

from __future__ import annotations

import logging
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from ginforge.worker import jobs
from ginforge.worker.conf import get_settings
from ginforge.worker.models import Job

logger = logging.getLogger(__name__)


def dispatch_due(app: Any) -> int:
    """Send a batch of due jobs to the queue; returns how many.

    Raises what the broker raises; what was not sent is due still.
    """
    rows = _take()
    sent = 0
    try:
        for job in rows:
            _send(app, job)
            sent += 1
    finally:
        left = [job.pk for job in rows[sent:]]
        if left:
            Job.objects.filter(pk__in=left, state=Job.State.QUEUED).update(state=Job.State.WAITING)
    return sent


def _take() -> list[Job]:
    now = timezone.now()
    with transaction.atomic():
        rows = jobs.due(now)
        if connection.features.has_select_for_update_skip_locked:
            rows = rows.select_for_update(skip_locked=True)
        taken = list(rows[: get_settings().dispatch_batch])
        # Without row locks (SQLite) the transaction is IMMEDIATE: one writer at a time.
        Job.objects.filter(pk__in=[job.pk for job in taken]).update(state=Job.State.QUEUED, queued_at=now)
    return taken


def _send(app: Any, job: Job) -> None:
    try:
        values = job.values
    except ValueError:
        values = None
    if not isinstance(values, dict):
        jobs.park(job.key, task=job.task, arguments=job.arguments, reason="the arguments are not a JSON object")
        return
    app.send_task(job.task, kwargs=values, task_id=job.key)
    logger.info("queued: task=%s job=%s", job.task, job.key)
