"""What the staff hears of the worker, in rooms that only staff may join."""

from __future__ import annotations

import logging

from django.utils.translation import gettext as _

from ginforge.worker.conf import get_settings
from ginforge.worker.models import Job
from notifications import NotificationError, send_to_room

logger = logging.getLogger(__name__)


def tell_of_death(job: Job, reason: str) -> None:
    """Tell the room of the tasks that a job is dead; a Redis that is away is logged."""
    content = {
        "kind": "job_dead",
        "task": job.task,
        "key": job.key,
        "attempts": job.attempts,
        "reason": reason,
        "text": _("%(task)s failed for good: %(reason)s") % {"task": job.task, "reason": reason},
    }
    try:
        send_to_room(get_settings().tasks_room, content, id=f"{job.key}:dead:{job.attempts}", durable=True)
    except NotificationError as error:
        logger.warning("staff not told: job=%s: %s", job.key, error)
