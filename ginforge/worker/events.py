"""What Celery tells us: a worker is ready, lives, or was sent something that no task takes."""

from __future__ import annotations

import logging
from typing import Any

from celery import signals
from django.db import connections

from ginforge.worker import heartbeat, jobs, metrics
from ginforge.worker.conf import get_settings
from ginforge.worker.metrics import Outcome
from realtime.codes import Unavailable

logger = logging.getLogger(__name__)


@signals.after_setup_logger.connect  # type: ignore[untyped-decorator]  # celery has no types
def keep_bodies_out_of_the_log(**_: Any) -> None:
    """Silence Celery's own lines for each task, which show its arguments; the runner writes one without."""
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).setLevel(logging.WARNING)


@signals.worker_ready.connect  # type: ignore[untyped-decorator]  # celery has no types
@signals.beat_init.connect  # type: ignore[untyped-decorator]  # celery has no types
def serve_metrics(**_: Any) -> None:
    """Serve Prometheus metrics from the main process, where the settings ask for it."""
    conf = get_settings()
    metrics.serve(conf.metrics_host, conf.metrics_port)


@signals.worker_ready.connect  # type: ignore[untyped-decorator]  # celery has no types
@signals.heartbeat_sent.connect  # type: ignore[untyped-decorator]  # celery has no types
def show_life(**_: Any) -> None:
    """Renew the worker's heartbeat in Redis."""
    try:
        heartbeat.beat("worker")
    except Unavailable as error:
        logger.warning("%s", error)


@signals.task_unknown.connect  # type: ignore[untyped-decorator]  # celery has no types
def park_unknown(name: str = "", id: str = "", message: Any = None, **_: Any) -> None:  # noqa: A002  # Celery's names
    """Park a message for a task that is not here."""
    try:
        arguments = jobs.encode(_keywords(message))
        jobs.park(id, task=name, arguments=arguments, reason=f"there is no task {name!r}")
    except Exception:
        logger.exception("a message for an unknown task was not parked: task=%s job=%s", name, id)
    finally:
        connections.close_all()  # children forked later must not share it
    metrics.record("unknown", Outcome.DEAD)


def _keywords(message: Any) -> Any:
    """Return the keyword arguments of a message (Celery's protocol 2: ``[args, kwargs, embed]``)."""
    body = message.decode()
    return body[1] if isinstance(body, list | tuple) and len(body) > 1 else {"*": body}
