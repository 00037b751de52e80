"""Messages for users who are away, kept in the database until their next connect (DESIGN 2.5).

The gateway calls this through ``realtime.registry``, in a thread and with batches.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeVar

from django.db import transaction
from django.db.models import F, Sum, Window
from django.db.models.functions import Length
from django.utils import timezone

from notifications.models import StoredMessage, digest_of
from realtime.registry import OfflineMessage

T = TypeVar("T")

_CHUNK: Final = 500
"""Values in one IN list; SQLite takes no more than a few thousand."""
_PORTION: Final = 262_144
"""Characters sent to one user at once; a quarter of what is buffered for a client before it is cut."""
_SIZE_BEFORE: Final = Window(
    Sum(Length("text")), partition_by=F("recipient"), order_by=[F("accepted_order").asc(), F("pk").asc()]
) - Length("text")


class DatabaseOfflineStore:
    """The ``OfflineStore`` on ``StoredMessage`` rows."""

    def store(self, messages: Sequence[OfflineMessage]) -> None:
        """Keep the messages in one transaction; a repeated (user_id, message_id) changes nothing.

        A row that ``services.notify`` wrote before, of a message that now turned out not to reach its user, is taken
        over, unless it was read already.
        """
        rows = _rows(messages)
        if not rows:
            return
        with transaction.atomic():
            self._take_over(rows)
            StoredMessage.objects.bulk_create(rows.values(), batch_size=_CHUNK, ignore_conflicts=True)

    def _take_over(self, rows: Mapping[str, StoredMessage]) -> None:
        known: list[StoredMessage] = []
        for digests in _chunks(list(rows)):
            known += StoredMessage.objects.filter(
                digest__in=digests, accepted_order__isnull=True, read_at__isnull=True
            ).only("pk", "digest")
        for row in known:
            accepted = rows[row.digest]
            row.awaiting, row.accepted_order, row.text = True, accepted.accepted_order, accepted.text
        StoredMessage.objects.bulk_update(known, ["awaiting", "accepted_order", "text"], batch_size=_CHUNK)

    def pending(self, user_ids: Iterable[str]) -> dict[str, list[OfflineMessage]]:
        """Return what waits for each of these users, in order of acceptance; users without anything are left out.

        Of one user at most about 256 KiB: the gateway comes again for the rest when the client has taken it.
        """
        found: dict[str, list[OfflineMessage]] = {}
        for chunk in _chunks(list(user_ids)):
            rows = StoredMessage.objects.filter(recipient__in=chunk, awaiting=True)
            for row in rows.annotate(before=_SIZE_BEFORE).filter(before__lt=_PORTION).order_by("accepted_order", "pk"):
                found.setdefault(row.recipient, []).append(_message(row))
        return found

    def mark_delivered(self, messages: Sequence[OfflineMessage]) -> None:
        """Note that these have reached a connection of their user; they are not pending any more."""
        digests = [digest_of(message.user_id, message.message_id) for message in messages]
        with transaction.atomic():
            for chunk in _chunks(digests):
                StoredMessage.objects.filter(digest__in=chunk, awaiting=True).update(
                    awaiting=False, delivered_at=timezone.now()
                )


def _rows(messages: Sequence[OfflineMessage]) -> dict[str, StoredMessage]:
    """Return rows by digest; among messages accepted in the same microsecond, the order of the batch counts."""
    rows: dict[str, StoredMessage] = {}
    latest: dict[str, int] = {}
    for message in messages:
        order = max(int(message.accepted_at * 1e6), latest.get(message.user_id, 0) + 1)
        latest[message.user_id] = order
        digest = digest_of(message.user_id, message.message_id)
        rows.setdefault(
            digest,
            StoredMessage(
                recipient=message.user_id,
                message_id=message.message_id,
                digest=digest,
                type=message.type,
                category=_category(message.text),
                text=message.text,
                created_at=dt.datetime.fromtimestamp(message.accepted_at, dt.UTC),
                accepted_order=order,
                awaiting=True,
            ),
        )
    return rows


def _category(text: str) -> str:
    content = json.loads(text).get("content")
    category = content.get("category") if isinstance(content, dict) else None
    return category.replace("\0", "")[:100] if isinstance(category, str) else ""


def _message(row: StoredMessage) -> OfflineMessage:
    return OfflineMessage(
        user_id=row.recipient,
        message_id=row.message_id,
        type=row.type,
        text=row.text,
        accepted_at=(row.accepted_order or 0) / 1e6,
    )


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
