"""Where the client finds Redis: Django's settings in a Django process, else the environment."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import Any

from notifications.errors import NotConfigured
from realtime.conf import RealtimeSettings, get_settings

_DEFAULTS = RealtimeSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """Everything tunable about a client; times in seconds."""

    url: str = field(repr=False)
    """``redis://``, ``rediss://`` or ``unix://``; may hold a password, so it is shown nowhere."""
    connect_timeout: float = _DEFAULTS.redis_connect_timeout
    timeout: float = _DEFAULTS.redis_timeout
    """For one call in all: waiting for a connection, connecting, retries, answer."""
    max_connections: int = 32
    """Per process, and per event loop."""
    health_check_interval: float = 15.0
    """A connection idle for longer is tried with PING before it is used."""
    ingress_limit: int = _DEFAULTS.ingress_limit
    """Entries kept in the durable stream (approximately)."""


def resolve_settings() -> ClientSettings:
    """Return the settings of this process; raises ``NotConfigured`` when there is no Redis URL.

    Django: ``REDIS_URLS`` (a list) or ``REDIS_URL``, timeouts from ``REALTIME``. Elsewhere: the environment's
    ``REDIS_URL``. Of several URLs (comma-separated) the first is used: it holds the ingress and the presence.
    """
    django = _django_settings()
    if django is None:
        return ClientSettings(url=_first(os.environ.get("REDIS_URL")))
    conf = get_settings()
    return ClientSettings(
        url=_first(getattr(django, "REDIS_URLS", None) or getattr(django, "REDIS_URL", None) or os.getenv("REDIS_URL")),
        connect_timeout=conf.redis_connect_timeout,
        timeout=conf.redis_timeout,
        ingress_limit=conf.ingress_limit,
    )


def _django_settings() -> Any:
    conf = sys.modules.get("django.conf")
    if conf is not None and conf.settings.configured:
        return conf.settings
    return None


def _first(value: str | list[str] | tuple[str, ...] | None) -> str:
    urls = value.split(",") if isinstance(value, str) else list(value or ())
    for url in urls:
        if url.strip():
            return url.strip()
    raise NotConfigured("no Redis: set REDIS_URL, for example to redis://127.0.0.1:6379/0")
