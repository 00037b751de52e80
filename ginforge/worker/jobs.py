"""What happens to a job: every change of state is one guarded UPDATE, so that two processes never both make it."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Mapping
from typing import Any

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from ginforge.worker.conf import get_settings
from ginforge.worker.models import MAX_ERROR, MAX_KEY, Job

State = Job.State
_EARLY = dt.timedelta(seconds=1)
"""Clocks of two machines may differ by so much."""
_LOST_RETRY = dt.timedelta(seconds=60)
"""A retry whose message has not come so long after its time was lost with Redis."""


def schedule(
    task: str, arguments: Mapping[str, Any], *, run_at: dt.datetime | None = None, key: str | None = None
) -> Job:
    """Have a job run once at ``run_at`` (now), and return its row; part of the caller's transaction.

    A ``key`` that is there already makes nothing new and changes nothing: the row that is there is returned.
    """
    job, _ = Job.objects.get_or_create(
        key=key or uuid.uuid4().hex,
        defaults={"task": task, "arguments": encode(arguments), "run_at": run_at or timezone.now()},
    )
    return job


def cancel(key: str) -> bool:
    """Cancel a job that has not started; false when it is too late or there is none."""
    rows = Job.objects.filter(key=key, state__in=[State.WAITING, State.QUEUED, State.RETRYING])
    return bool(rows.update(state=State.CANCELLED, finished_at=timezone.now()))


def run_again(jobs: QuerySet[Job]) -> int:
    """Give dead, done and cancelled jobs a new life, due now; returns how many."""
    over = jobs.filter(state__in=[State.DEAD, State.CANCELLED, State.DONE])
    return over.update(state=State.WAITING, run_at=timezone.now(), attempts=0, finished_at=None, claimed_by="")


def claim(key: str, *, task: str, arguments: str, holder: str) -> Job | None:
    """Take a job that a message has come for; None when it is taken, over, or not due.

    A message that was sent without a row gets one here.
    """
    now = timezone.now()
    Job.objects.get_or_create(key=key, defaults={"task": task, "arguments": arguments, "state": State.QUEUED})
    free = Q(state=State.QUEUED) | Q(state__in=[State.WAITING, State.RETRYING], run_at__lte=now + _EARLY)
    taken = Job.objects.filter(free | Q(state=State.RUNNING, claimed_until__lt=now), key=key).update(
        state=State.RUNNING,
        claimed_by=holder,
        claimed_until=now + lease(),
        started_at=now,
        attempts=F("attempts") + 1,
    )
    return Job.objects.get(key=key) if taken else None


def renew(job: Job) -> bool:
    """Keep a claim; false when it was lost to another worker."""
    return bool(_mine(job).update(claimed_until=timezone.now() + lease()))


def finish(job: Job) -> bool:
    """Note that a job is done."""
    return _end(job, State.DONE, "")


def bury(job: Job, reason: str) -> bool:
    """Park a job for good: it is shown in the admin, with its reason."""
    return _end(job, State.DEAD, reason)


def put_off(job: Job, run_at: dt.datetime, reason: str, *, by_beat: bool) -> bool:
    """Give a claimed job back until ``run_at``, when a Celery retry or (``by_beat``) beat brings it again."""
    state = State.WAITING if by_beat else State.RETRYING
    return bool(_mine(job).update(state=state, run_at=run_at, last_error=shorten(reason), claimed_by=""))


def park(key: str, *, task: str, arguments: str, reason: str) -> None:
    """Keep a message that cannot be run at all as a dead job."""
    now = timezone.now()
    fields = {"state": State.DEAD, "last_error": shorten(reason), "finished_at": now}
    new = {**fields, "task": task[:100], "arguments": arguments}
    job, made = Job.objects.get_or_create(key=key[:MAX_KEY].replace("\0", ""), defaults=new)
    if not made:
        Job.objects.filter(pk=job.pk).exclude(state__in=[State.RUNNING, State.DONE]).update(**fields)


def due(now: dt.datetime) -> QuerySet[Job]:
    """Return what is to be sent to the queue: due jobs, and those whose message or worker was lost."""
    patience = dt.timedelta(seconds=get_settings().queue_patience)
    return Job.objects.filter(
        Q(state=State.WAITING, run_at__lte=now)
        | Q(state=State.RETRYING, run_at__lt=now - _LOST_RETRY)
        | Q(state=State.QUEUED, queued_at__lt=now - patience)
        | Q(state=State.RUNNING, claimed_until__lt=now)
    ).order_by("run_at", "pk")


def encode(arguments: Any) -> str:
    """Return arguments as the text of a row; raises ``TypeError`` for what is not JSON.

    What a database would not take (lone surrogates) is escaped, so that any poison can be parked.
    """
    text = json.dumps(arguments, ensure_ascii=False)
    return text if _is_unicode(text) else json.dumps(arguments)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shorten(reason: str) -> str:
    """Return an error's text as it fits into a row."""
    return reason.replace("\0", "\\0")[:MAX_ERROR]


def lease() -> dt.timedelta:
    """How long a claim lasts."""
    return dt.timedelta(seconds=get_settings().lease)


def _end(job: Job, state: Job.State, reason: str) -> bool:
    now = timezone.now()
    return bool(_mine(job).update(state=state, finished_at=now, last_error=shorten(reason), claimed_until=None))


def _mine(job: Job) -> QuerySet[Job]:
    return Job.objects.filter(pk=job.pk, state=State.RUNNING, claimed_by=job.claimed_by)
