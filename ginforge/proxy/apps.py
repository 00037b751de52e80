"""Django app of the proxy: there for its system check alone."""

from django.apps import AppConfig


class ProxyConfig(AppConfig):
    """Registers the check of ``settings.PROXY``."""

    name = "ginforge.proxy"
    label = "proxy"

    def ready(self) -> None:
        """Register the check."""
        from ginforge.proxy import checks  # noqa: F401
