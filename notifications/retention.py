"""How long stored messages are kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from django.db.models import QuerySet

from notifications.models import StoredMessage


def expired(before: dt.datetime, *, only_read: bool = False) -> QuerySet[StoredMessage]:
    """Return the messages created before a time; with ``only_read`` just those that were read."""
    rows = StoredMessage.objects.filter(created_at__lt=before).order_by("pk")
    return rows.filter(read_at__isnull=False) if only_read else rows


def prune(rows: QuerySet[StoredMessage], *, batch_size: int = 1000) -> Iterator[int]:
    """Delete in batches, each a short transaction; yields how many each deleted."""
    while batch := list(rows.values_list("pk", flat=True)[:batch_size]):
        deleted, _ = StoredMessage.objects.filter(pk__in=batch).delete()
        yield deleted
