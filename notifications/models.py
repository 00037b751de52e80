"""Stored messages of users, and the outbox of messages that wait for their transaction to be over."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


def digest_of(recipient: str, message_id: str) -> str:
    """Return what makes a stored message unique: a SHA-256 of recipient and message id.

    The two themselves may be longer than PostgreSQL takes in one unique index.
    """
    return hashlib.sha256(f"{recipient}\0{message_id}".encode("utf-8", "surrogatepass")).hexdigest()


class StoredMessageQuerySet(models.QuerySet["StoredMessage"]):
    """Questions about stored messages, in the words of the contract."""

    def of(self, user_id: str) -> StoredMessageQuerySet:
        """Messages to one user."""
        return self.filter(recipient=user_id)

    def unread(self) -> StoredMessageQuerySet:
        """Messages that were not marked as read."""
        return self.filter(read_at__isnull=True)

    def with_ids(self, user_id: str, message_ids: list[str]) -> StoredMessageQuerySet:
        """Messages to one user by their ids."""
        return self.filter(digest__in=[digest_of(user_id, message_id) for message_id in message_ids])

    def awaiting(self) -> StoredMessageQuerySet:
        """Messages to be delivered at their user's next connect, in the order in which they were accepted."""
        return self.filter(awaiting=True).order_by("accepted_order", "pk")


class StoredMessage(models.Model):
    """One message to one user: made by ``services.notify``, or by the gateway for a user who was away."""

    recipient = models.CharField(_("recipient"), max_length=512, help_text=_("User id, as in tokens."))
    message_id = models.CharField(_("message id"), max_length=512)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    type = models.CharField(_("type"), max_length=64)
    category = models.CharField(_("category"), max_length=100, blank=True)
    text = models.TextField(_("message"), help_text=_("The message as JSON."))
    # Text and not JSONField: PostgreSQL's jsonb refuses \u0000 and forgets the order of keys, SQLite limits depth.
    created_at = models.DateTimeField(_("created"), default=timezone.now, db_index=True)
    accepted_order = models.BigIntegerField(
        _("accepted"), null=True, blank=True, help_text=_("Unix microseconds; empty if the user was not away.")
    )
    awaiting = models.BooleanField(_("waits for the user"), default=False)
    delivered_at = models.DateTimeField(_("delivered"), null=True, blank=True)
    read_at = models.DateTimeField(_("read"), null=True, blank=True)

    objects: ClassVar[models.Manager[StoredMessage]] = StoredMessageQuerySet.as_manager()

    class Meta:
        verbose_name = _("stored message")
        verbose_name_plural = _("stored messages")
        ordering: ClassVar = ["-pk"]
        indexes: ClassVar = [
            models.Index(fields=["recipient", "-id"], name="notif_recipient"),
            models.Index(fields=["recipient"], condition=Q(read_at__isnull=True), name="notif_unread"),
            models.Index(fields=["recipient", "accepted_order"], condition=Q(awaiting=True), name="notif_awaiting"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.message_id} → {self.recipient}"

    @functools.cached_property
    def payload(self) -> dict[str, Any]:
        """The message itself."""
        value: dict[str, Any] = json.loads(self.text)
        return value


class OutboxMessage(models.Model):
    """A message written in the transaction it belongs to; ``manage.py relayoutbox`` sends it and deletes the row."""

    channel = models.CharField(_("channel"), max_length=560, help_text=_("Ingress channel; its order is kept."))
    message_id = models.CharField(_("message id"), max_length=512)
    type = models.CharField(_("type"), max_length=64)
    payload = models.TextField(_("message"))
    durable = models.BooleanField(_("durable"), default=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    claimed_by = models.CharField(_("claimed by"), max_length=32, blank=True, editable=False)
    claimed_until = models.DateTimeField(_("claimed until"), null=True, blank=True, editable=False)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    last_error = models.CharField(_("last error"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("outbox message")
        verbose_name_plural = _("outbox")
        ordering: ClassVar = ["pk"]
        indexes: ClassVar = [models.Index(fields=["channel", "id"], name="outbox_channel")]

    def __str__(self) -> str:
        return f"{self.type} {self.message_id} → {self.channel}"
