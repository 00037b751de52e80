"""Django app of the gateway."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class RealtimeConfig(AppConfig):
    """Registers the system checks; reads no database and no Redis."""

    name = "realtime"
    verbose_name = _("Realtime gateway")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, the authentication schemes of the OpenAPI schema, and what follows user changes."""
        from realtime import checks  # noqa: F401
        from realtime.api import schema  # noqa: F401
        from realtime.audit import signals as audit_signals
        from realtime.auth import signals

        signals.connect()
        audit_signals.connect()
