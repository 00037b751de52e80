"""Django app of the background jobs."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class WorkerConfig(AppConfig):
    """Jobs, their admin and their checks."""

    name = "ginforge.worker"
    label = "worker"
    verbose_name = _("Worker")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the system check."""
        from ginforge.worker import checks  # noqa: F401  # registers itself
