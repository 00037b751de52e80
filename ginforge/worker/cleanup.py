"""``system.cleanup``: delete what has had its time. One step that fails does not keep the others from running."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

from django.contrib.sessions.models import Session
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.module_loading import import_string
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from ginforge.worker.arguments import Cleanup
from ginforge.worker.conf import get_settings
from ginforge.worker.errors import TryLater
from ginforge.worker.models import Job
from ginforge.worker.runner import Running
from notifications import retention
from realtime import presence
from realtime.blocking_redis import redis_or_unavailable
from realtime.keys import DEAD_LETTERS, PRESENCE_NODES
from realtime.link import RedisLink

logger = logging.getLogger(__name__)

Step = Callable[[], int]
_BATCH = 1000


def clean(_arguments: Cleanup, _running: Running) -> None:
    """Run all steps, those of ``cleanup_steps`` too; raises ``TryLater`` that names the ones that failed."""
    failed = []
    for step in _steps():
        try:
            count = step()
            logger.info("cleaned: step=%s count=%d", step.__name__, count)
        except Exception:
            logger.exception("clean-up step failed: %s", step.__name__)
            failed.append(step.__name__)
    if failed:
        raise TryLater(f"failed: {', '.join(failed)}")


def _steps() -> Iterator[Step]:
    yield from (old_messages, expired_tokens, expired_sessions, old_dead_letters, stale_presence, finished_jobs)
    for path in get_settings().cleanup_steps:
        yield cast("Step", import_string(path))


def old_messages() -> int:
    """Delete stored messages past their time; returns how many."""
    return sum(retention.prune(retention.expired(_before(get_settings().keep_messages_days))))


def expired_tokens() -> int:
    """Delete refresh tokens that have expired, with their entries in the blacklist; returns how many."""
    return _delete(OutstandingToken.objects.filter(expires_at__lt=timezone.now()))


def expired_sessions() -> int:
    """Delete expired browser sessions; returns how many."""
    return _delete(Session.objects.filter(expire_date__lt=timezone.now()))


def old_dead_letters() -> int:
    """Trim the dead letters by age; returns how many went."""
    oldest = int((time.time() - get_settings().keep_dead_letters_days * 86_400) * 1000)
    with redis_or_unavailable("dead letters were not trimmed") as redis:
        return int(redis.xtrim(DEAD_LETTERS, minid=f"{oldest}-0", approximate=False))


def stale_presence() -> int:
    """Take back what dead gateways hold, when none lives to do it; returns how many users went offline by that.

    A living gateway does it within seconds and tells the others; done here, nobody would hear of it.
    """
    with redis_or_unavailable("presence was not swept") as redis:
        seconds, micros = redis.time()
        if redis.zcount(PRESENCE_NODES, seconds * 1000 + micros // 1000, "+inf"):
            return 0
        return len(asyncio.run(presence.sweep(cast("RedisLink", _BlockingLink(redis)))))


def finished_jobs() -> int:
    """Delete jobs that are over, the dead ones later; returns how many."""
    conf = get_settings()
    over = Q(state__in=[Job.State.DONE, Job.State.CANCELLED], finished_at__lt=_before(conf.keep_jobs_days))
    dead = Q(state=Job.State.DEAD, finished_at__lt=_before(conf.keep_dead_jobs_days))
    return _delete(Job.objects.filter(over | dead))


class _BlockingLink:
    """As much of a link as the sweep needs."""

    def __init__(self, redis: Any) -> None:
        self._redis = redis

    async def call(self, *command: Any) -> Any:
        return self._redis.execute_command(*command)


def _before(days: float) -> dt.datetime:
    return timezone.now() - dt.timedelta(days=days)


def _delete(rows: QuerySet[Any]) -> int:
    total = 0
    while batch := list(rows.order_by("pk").values_list("pk", flat=True)[:_BATCH]):
        rows.model._default_manager.filter(pk__in=batch).delete()  # noqa: SLF001  # Django's own name for it
        total += len(batch)
    return total
