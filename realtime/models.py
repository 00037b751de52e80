"""What the admin shows of Redis, as unmanaged models that carry its permissions; and one table, the audit."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from realtime.audit.events import MAX_TEXT, Event


class Gateway(models.Model):
    """The cluster: nodes, connections, bridges."""

    class Meta:
        """Permissions only."""

        managed = False
        default_permissions = ("view",)
        permissions = (
            ("disconnect_gateway", "Can disconnect users and connections"),
            ("publish_gateway", "Can publish messages"),
            ("trace_gateway", "Can watch the messages of a user or room"),
        )
        verbose_name = _("gateway")
        verbose_name_plural = _("Gateway")

    def __str__(self) -> str:
        return str(self._meta.verbose_name)


class DeadLetterBox(models.Model):
    """The dead letters."""

    class Meta:
        """Permissions only."""

        managed = False
        default_permissions = ("view",)
        permissions = (
            ("replay_deadletterbox", "Can publish dead letters again"),
            ("drop_deadletterbox", "Can drop dead letters"),
        )
        verbose_name = _("dead letter")
        verbose_name_plural = _("Dead letters")

    def __str__(self) -> str:
        return str(self._meta.verbose_name)


class AuditEvent(models.Model):
    """One event that concerns security; written by ``realtime.audit`` alone."""

    class Kind(models.TextChoices):
        """``realtime.audit.Event`` in words."""

        TOKEN_REFUSED = Event.TOKEN_REFUSED, _("token refused")
        ORIGIN_REFUSED = Event.ORIGIN_REFUSED, _("origin refused")
        PERMISSION_DENIED = Event.PERMISSION_DENIED, _("permission denied")
        LOGIN = Event.LOGIN, _("login")
        LOGIN_FAILED = Event.LOGIN_FAILED, _("login failed")
        LOCKED_OUT = Event.LOCKED_OUT, _("locked out")
        LOGOUT = Event.LOGOUT, _("logout")
        REVOKED = Event.REVOKED, _("tokens revoked")
        DISCONNECTED = Event.DISCONNECTED, _("disconnected")
        EVICTED = Event.EVICTED, _("evicted from a room")
        STAFF_SENT = Event.STAFF_SENT, _("sent by staff")
        DEAD_LETTER = Event.DEAD_LETTER, _("dead letter handled")
        LEFT_OUT = Event.LEFT_OUT, _("too many to keep")

    at = models.DateTimeField(_("time"), db_index=True)
    event = models.CharField(_("event"), max_length=32, choices=Kind, db_index=True)
    actor = models.CharField(_("by"), max_length=MAX_TEXT, blank=True)
    target = models.CharField(_("target"), max_length=MAX_TEXT, blank=True)
    address = models.CharField(_("address"), max_length=MAX_TEXT, blank=True)
    detail = models.CharField(_("detail"), max_length=MAX_TEXT, blank=True)

    class Meta:
        """Read only."""

        default_permissions = ("view",)
        verbose_name = _("audit event")
        verbose_name_plural = _("Audit")
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return f"{self.event} {self.target}"
