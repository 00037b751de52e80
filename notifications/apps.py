"""Django app of stored notifications."""

from django.apps import AppConfig
from django.core.signals import setting_changed
from django.utils.translation import gettext_lazy as _


class NotificationsConfig(AppConfig):
    """Stored notifications and their REST API."""

    name = "notifications"
    verbose_name = _("Notifications")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Keep the gateway's messages to users who are away in this app's tables."""
        from notifications.offline import DatabaseOfflineStore
        from notifications.shortcuts import forget_default_client
        from realtime.registry import register_offline_store

        register_offline_store(DatabaseOfflineStore())
        setting_changed.connect(forget_default_client, dispatch_uid="notifications.shortcuts")
