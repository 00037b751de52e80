"""Connects the signals."""

from django.apps import AppConfig


class AdminApiConfig(AppConfig):
    """The service's one app."""

    name = "adminapi"

    def ready(self) -> None:
        """Connect the signals."""
        from adminapi import signals  # noqa: F401  # connects itself
