"""What a Django project does with notifications: store and send, mark as read, count, delete.

Every change that other devices of the user should show is told to them with a ``data_update``
``{entity: "notification", action: "read" | "read_all" | "delete", data: {ids?, unread}}`` after the commit (``ids``
are missing when there are very many).
"""

from __future__ import annotations

import functools
import json
import logging
import uuid
from collections.abc import Iterable
from typing import Any

from asgiref.sync import sync_to_async
from django.db import transaction
from django.utils import timezone

from notifications import outbox, outgoing
from notifications.errors import NotificationError
from notifications.models import StoredMessage, StoredMessageQuerySet, digest_of
from notifications.outgoing import Outgoing, UserId, user_name
from notifications.shortcuts import default_client

logger = logging.getLogger(__name__)

_MAX_TOLD = 500
"""More ids than these are not listed to the other devices: of the longest, no more fit into one message."""


def notify(  # noqa: PLR0913  # the fields of the contract
    user_id: UserId,
    title: str,
    body: str,
    *,
    icon: str | None = None,
    link: str | None = None,
    category: str | None = None,
    data: Any = None,
    id: str | uuid.UUID | None = None,  # noqa: A002  # as in send_notification
    durable: bool = False,
    in_outbox: bool = False,
    must_send: bool = False,
) -> StoredMessage:
    """Store a notification and send it once the surrounding transaction is committed.

    A repeated ``id`` stores nothing new. A Redis that is down does not fail the transaction: the row stays, the API
    lists it, and the failure is logged, or with ``must_send`` raised as a ``NotificationError`` after the commit. With
    ``in_outbox`` the message itself is part of the transaction too, and ``manage.py relayoutbox`` sends it (at least
    once). Raises ``InvalidMessage``.
    """
    message = outgoing.notification(
        user_id, title, body, icon=icon, link=link, category=category, data=data, id=id, durable=durable
    )
    with transaction.atomic():
        row = _store(user_name(user_id), message)
        if in_outbox:
            outbox.enqueue(message)
        else:
            publish_on_commit(message, must_send=must_send)
    return row


anotify = sync_to_async(notify)
"""``notify`` for asyncio; its transaction is its own, as Django's transactions are synchronous."""


def publish_on_commit(message: Outgoing, *, must_send: bool = False) -> None:
    """Send a built message (``notifications.outgoing``) after the commit; at once when there is no transaction.

    What Redis does not take is logged and lost, or with ``must_send`` raised out of the transaction's end; where a
    loss matters, use ``outbox.enqueue``.
    """
    transaction.on_commit(functools.partial(_publish, message, must_send))


def mark_read(user_id: UserId, message_ids: Iterable[str]) -> int:
    """Mark messages of a user as read and tell the user's devices; returns how many were unread."""
    user = user_name(user_id)
    rows = _of(user).with_ids(user, list(message_ids)).unread()
    with transaction.atomic():
        found = list(rows.values_list("message_id", flat=True))
        count = _set_read(rows)
        if count:
            _tell_devices(user, "read", found)
    return count


def mark_all_read(user_id: UserId) -> int:
    """Mark all messages of a user as read and tell the user's devices; returns how many were unread."""
    user = user_name(user_id)
    with transaction.atomic():
        count = _set_read(_of(user).unread())
        if count:
            _tell_devices(user, "read_all", None)
    return count


def unread_count(user_id: UserId) -> int:
    """Return how many stored messages the user has not read."""
    return _of(user_name(user_id)).unread().count()


def delete(user_id: UserId, message_ids: Iterable[str]) -> int:
    """Delete messages of a user and tell the user's devices; returns how many there were."""
    user = user_name(user_id)
    rows = _of(user).with_ids(user, list(message_ids))
    with transaction.atomic():
        found = list(rows.values_list("message_id", flat=True))
        count, _ = rows.delete()
        if count:
            _tell_devices(user, "delete", found)
    return count


def _of(user: str) -> StoredMessageQuerySet:
    rows: StoredMessageQuerySet = StoredMessage.objects.all()
    return rows.of(user)


def _store(user: str, message: Outgoing) -> StoredMessage:
    text = message.payload.decode()
    row, _ = StoredMessage.objects.get_or_create(
        digest=digest_of(user, message.id),
        defaults={
            "recipient": user,
            "message_id": message.id,
            "type": message.type,
            "category": json.loads(text)["content"].get("category", "")[:100],
            "text": text,
        },
    )
    return row


def _set_read(rows: StoredMessageQuerySet) -> int:
    # Who read it elsewhere need not get it again at the next connect.
    return rows.update(read_at=timezone.now(), awaiting=False)


def _tell_devices(user: str, action: str, ids: list[str] | None) -> None:
    data: dict[str, Any] = {"unread": unread_count(user)}
    if ids is not None and len(ids) <= _MAX_TOLD:
        data["ids"] = ids
    content = {"entity": "notification", "action": action, "data": data}
    publish_on_commit(outgoing.message(user, content, type="data_update"))


def _publish(message: Outgoing, must_send: bool) -> None:
    try:
        default_client().publish(message)
    except NotificationError as error:
        if must_send:
            raise
        logger.warning("message not sent after commit: id=%s type=%s: %s", message.id, message.type, error)
