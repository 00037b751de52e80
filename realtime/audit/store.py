"""Writes audit events into the database: in batches, from a thread of its own, and takes out the old ones."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from django.db import DatabaseError, InterfaceError, close_old_connections

from realtime import metrics
from realtime.audit.events import Entry, log, recorder
from realtime.conf import get_settings

if TYPE_CHECKING:  # models need Django's apps, which load this module first
    from realtime.models import AuditEvent

logger = logging.getLogger(__name__)

_INTERVAL: Final = 1.0
_BATCH: Final = 500
_PRUNE_EVERY: Final = 3600.0

_lock = threading.Lock()


def store_events() -> None:
    """Have this process store its events from now on; what came before was logged only."""
    if recorder.waiting is None:
        recorder.waiting = deque()
        threading.Thread(target=_write_for_ever, name="audit", daemon=True).start()


def flush() -> int:
    """Write what waits; returns the number of rows. On failure it stays, up to the bound. Raises ``DatabaseError``."""
    from realtime.models import AuditEvent

    waiting = recorder.waiting
    if waiting is None:
        return 0
    with _lock:
        for entry in recorder.left_out():
            log(entry)
            waiting.append(entry)
        batch = [waiting[i] for i in range(min(len(waiting), _BATCH))]
        if batch:
            AuditEvent.objects.bulk_create([_row(entry) for entry in batch])
            for _ in batch:
                waiting.popleft()
    return len(batch)


def prune(now: float | None = None) -> int:
    """Delete the events older than ``audit_days``, and the oldest beyond ``audit_limit``; returns how many."""
    from realtime.models import AuditEvent

    conf = get_settings()
    before = datetime.fromtimestamp(now or time.time(), tz=UTC) - timedelta(days=conf.audit_days)
    deleted = AuditEvent.objects.filter(at__lt=before).delete()[0]
    beyond = AuditEvent.objects.order_by("-pk").values_list("pk", flat=True)[conf.audit_limit : conf.audit_limit + 1]
    for last in beyond:
        deleted += AuditEvent.objects.filter(pk__lte=last).delete()[0]
    return deleted


def _row(entry: Entry) -> AuditEvent:
    from realtime.models import AuditEvent

    return AuditEvent(
        event=entry.event,
        at=datetime.fromtimestamp(entry.at, tz=UTC),
        actor=entry.actor,
        target=entry.target,
        address=entry.address,
        detail=entry.detail,
    )


def _write_for_ever() -> None:
    next_prune = time.monotonic() + 60.0
    while True:
        time.sleep(_INTERVAL)
        try:
            while flush():
                pass
            if time.monotonic() > next_prune:
                next_prune = time.monotonic() + _PRUNE_EVERY
                prune()
        except (DatabaseError, InterfaceError) as error:
            metrics.errors.inc("audit_store")
            logger.warning("audit events wait for the database", extra={"reason": type(error).__name__})
        except Exception:
            metrics.errors.inc("audit_store")
            logger.exception("audit events could not be stored")
        finally:
            close_old_connections()
