"""The outbox: messages written in the transaction they belong to, sent afterwards (at least once, in order).

``enqueue`` writes a row. A relay claims rows in a short transaction, sends them outside of any, and deletes them; so
Redis may be slow without holding a database lock. Several relays share the work: messages of one channel (one
recipient) are in the hands of one relay at a time. A relay that dies leaves a claim that runs out; what it may have
sent already is sent again with the same message id, which the gateway delivers once.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence
from typing import Final

from django.db import connection, transaction
from django.db.models import F, Min, Q, QuerySet
from django.utils import timezone

from notifications.client import NotificationClient
from notifications.errors import NotificationError, RedisRefused
from notifications.models import OutboxMessage
from notifications.outgoing import Outgoing

CLAIM: Final = dt.timedelta(seconds=30)
"""How long a relay may take over one batch; far more than the client's timeout. A dead relay's rows wait that long."""


def enqueue(message: Outgoing, *, durable: bool = True) -> OutboxMessage:
    """Write a message into the current transaction; ``durable`` sends it through the durable stream."""
    return OutboxMessage.objects.create(
        channel=message.channel,
        message_id=message.id,
        type=message.type,
        payload=message.payload.decode(),
        durable=durable or message.durable,
    )


class Relay:
    """Sends what the outbox holds."""

    def __init__(self, client: NotificationClient, *, batch_size: int = 500, claim: dt.timedelta = CLAIM) -> None:
        self._client = client
        self._claim_time = claim
        self._batch_size = batch_size
        self._name = secrets.token_hex(8)

    def run_once(self) -> int:
        """Send one batch and return how many messages left the outbox; 0 when there is nothing to do.

        Raises ``NotificationError`` when Redis did not take the batch; its messages stay, and can be tried again.
        """
        rows = self._claim()
        if not rows:
            return 0
        try:
            self._client.send_many([_outgoing(row) for row in rows])
        except RedisRefused as error:
            self._release(rows, error, refused=set(error.failed))
            raise
        except NotificationError as error:
            self._release(rows, error, refused=None)
            raise
        self._mine(rows).delete()
        return len(rows)

    def _claim(self) -> list[OutboxMessage]:
        now = timezone.now()
        free = OutboxMessage.objects.filter(Q(claimed_until__isnull=True) | Q(claimed_until__lt=now)).order_by("pk")
        with transaction.atomic():
            if connection.features.has_select_for_update_skip_locked:
                free = free.select_for_update(skip_locked=True)
            rows = _without_blocked(list(free[: self._batch_size]))
            OutboxMessage.objects.filter(pk__in=[row.pk for row in rows]).update(
                claimed_by=self._name, claimed_until=now + self._claim_time, attempts=F("attempts") + 1
            )
        return rows

    def _release(self, rows: Sequence[OutboxMessage], error: NotificationError, refused: set[str] | None) -> None:
        kept = [row for row in rows if refused is None or row.message_id in refused]
        self._mine(kept).update(claimed_by="", claimed_until=None, last_error=str(error)[:200])
        self._mine([row for row in rows if row not in kept]).delete()

    def _mine(self, rows: Sequence[OutboxMessage]) -> QuerySet[OutboxMessage]:
        return OutboxMessage.objects.filter(pk__in=[row.pk for row in rows], claimed_by=self._name)


def _without_blocked(rows: list[OutboxMessage]) -> list[OutboxMessage]:
    """Leave out rows behind an older one of their channel that another relay holds."""
    if not rows:
        return rows
    older = OutboxMessage.objects.filter(channel__in={row.channel for row in rows}, pk__lt=rows[-1].pk)
    blocked = older.exclude(pk__in=[row.pk for row in rows]).values_list("channel").annotate(first=Min("pk"))
    first = dict(blocked.order_by().values_list("channel", "first"))
    return [row for row in rows if row.pk < first.get(row.channel, row.pk + 1)]


def _outgoing(row: OutboxMessage) -> Outgoing:
    return Outgoing(
        channel=row.channel, payload=row.payload.encode(), id=row.message_id, type=row.type, durable=row.durable
    )
