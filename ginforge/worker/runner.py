"""One delivery of a job: claim, run, and say what became of it."""

from __future__ import annotations

import datetime as dt
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import msgspec
from celery.exceptions import SoftTimeLimitExceeded
from django.db import DatabaseError
from django.utils import timezone, translation

from ginforge.worker import jobs, metrics, staff
from ginforge.worker.arguments import Arguments
from ginforge.worker.backoff import LONGEST_COUNTDOWN, Backoff
from ginforge.worker.conf import get_settings
from ginforge.worker.errors import Refused, TryLater
from ginforge.worker.lease import Lease
from ginforge.worker.metrics import Outcome
from ginforge.worker.models import MAX_KEY, Job
from notifications import InvalidMessage

logger = logging.getLogger(__name__)

_DATABASE_AWAY = Backoff(10.0, 10.0, 1)


@dataclass(frozen=True, slots=True)
class Running:
    """What a task's body is told about itself."""

    key: str
    attempt: int
    """1 for the first run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One task: its name, what it takes, its work, and how often it is tried."""

    name: str
    takes: type[Arguments]
    body: Callable[[Any, Running], None]
    backoff: Callable[[], Backoff]
    given_up: Callable[[Any, Running, str], None] | None = None
    """Called when a job with good arguments is dead."""


def default_backoff() -> Backoff:
    """Return the pauses of tasks that have none of their own."""
    conf = get_settings()
    return Backoff(conf.retry_base, conf.retry_cap, conf.attempts)


def execute(task: Any, spec: Spec, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Run the body of a task once; ``task`` is Celery's, bound to the delivery.

    Nothing is raised but Celery's ``Retry``: how it ended is in the row, the metrics and the log.
    """
    try:
        job = _claim(task.request.id, spec, {**kwargs, "*": list(args)} if args else kwargs)
    except DatabaseError as away:
        logger.warning("not claimed, trying again: task=%s job=%s: %s", spec.name, task.request.id, away)
        raise task.retry(countdown=_DATABASE_AWAY.pause(1), max_retries=None, throw=False) from away
    if job is None:
        metrics.record(spec.name, Outcome.DUPLICATE)
        logger.info("not run, taken or over already: task=%s job=%s", spec.name, task.request.id)
        return
    started = time.monotonic()
    with Lease(job):
        error = _attempt(spec, job)
    seconds = time.monotonic() - started
    if error is None:
        jobs.finish(job)
        metrics.record(spec.name, Outcome.DONE, seconds)
        logger.info("done: task=%s job=%s seconds=%.3f", spec.name, job.key, seconds)
    elif isinstance(error, Refused) or spec.backoff().is_over(job.attempts):
        _bury(spec, job, error)
        metrics.record(spec.name, Outcome.DEAD, seconds)
    else:
        metrics.record(spec.name, Outcome.RETRIED, seconds)
        _retry(task, spec, job, error)


def _claim(key: str, spec: Spec, values: dict[str, Any]) -> Job | None:
    holder = f"{socket.gethostname()[:30]}:{os.getpid()}:{secrets.token_hex(4)}"
    if len(key) > MAX_KEY or "\0" in key:
        reason = f"a key has at most {MAX_KEY} characters, none of them NUL"
        logger.error("not run: task=%s job=%.40r: %s", spec.name, key, reason)
        jobs.park(key, task=spec.name, arguments=jobs.encode(values), reason=reason)
        return None
    return jobs.claim(key, task=spec.name, arguments=jobs.encode(values), holder=holder)


def _attempt(spec: Spec, job: Job) -> Exception | None:
    if job.attempts > spec.backoff().tries:
        return Refused(f"given up: the worker died in each of {job.attempts - 1} runs")
    try:
        arguments = _arguments(spec, job)
        with _language(arguments):
            spec.body(arguments, Running(job.key, job.attempts))
    except (Refused, TryLater) as error:
        return error
    except InvalidMessage as error:
        return Refused(f"the message cannot be sent: {error}")
    except SoftTimeLimitExceeded:
        return TryLater("time limit exceeded")
    except Exception as error:  # the outermost edge of a job: it is tried again, then parked
        logger.exception("failed: task=%s job=%s attempt=%d", spec.name, job.key, job.attempts)
        return error
    return None


def _arguments(spec: Spec, job: Job) -> Any:
    try:
        return msgspec.convert(job.values, spec.takes)
    except (msgspec.ValidationError, ValueError) as error:
        raise Refused(f"wrong arguments: {error}") from None


def _language(arguments: Arguments) -> Any:
    return translation.override(arguments.language) if arguments.language else nullcontext()


def _retry(task: Any, spec: Spec, job: Job, error: Exception) -> None:
    asked = error.after if isinstance(error, TryLater) else 0.0
    pause = spec.backoff().pause(job.attempts, at_least=asked)
    by_beat = pause > LONGEST_COUNTDOWN
    jobs.put_off(job, timezone.now() + dt.timedelta(seconds=pause), describe(error), by_beat=by_beat)
    logger.warning(
        "trying again: task=%s job=%s attempt=%d in=%.1f: %s", spec.name, job.key, job.attempts, pause, describe(error)
    )
    if not by_beat:
        raise task.retry(countdown=pause, max_retries=None, args=(), kwargs=job.values, throw=False)


def _bury(spec: Spec, job: Job, error: Exception) -> None:
    reason = describe(error)
    jobs.bury(job, reason)
    logger.error("dead: task=%s job=%s attempts=%d: %s", spec.name, job.key, job.attempts, reason)
    staff.tell_of_death(job, reason)
    if spec.given_up is None:
        return
    try:
        arguments = _arguments(spec, job)
        with _language(arguments):
            spec.given_up(arguments, Running(job.key, job.attempts), reason)
    except Refused:
        return  # nobody knows whom to tell
    except Exception:
        logger.exception("nobody was told of the end: task=%s job=%s", spec.name, job.key)


def describe(error: Exception) -> str:
    """Return an error in words, with its type when that says more."""
    return str(error) if isinstance(error, Refused | TryLater) else f"{type(error).__name__}: {error}"
