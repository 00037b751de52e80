"""No tables: what the admin shows of Redis, as unmanaged models that carry its permissions."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Gateway(models.Model):
    """The cluster: nodes, connections, bridges."""

    class Meta:
        """Permissions only."""

        managed = False
        default_permissions = ("view",)
        permissions = (("disconnect_gateway", "Can disconnect users and connections"),)
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
