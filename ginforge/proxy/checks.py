"""System check: a wrong upstream or proxy setting is a ``manage.py check`` error, not a crash at midnight."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from ginforge.proxy.conf import build_settings


@register("proxy")
def check_proxy_settings(**_: Any) -> list[CheckMessage]:
    """Report unknown or contradictory keys of ``settings.PROXY`` and bad upstream URLs (proxy.E001)."""
    try:
        build_settings(getattr(settings, "PROXY", {}), getattr(settings, "UPSTREAMS", {}))
    except (ValueError, TypeError, AttributeError) as error:
        return [Error(f"settings.PROXY or UPSTREAM_*: {error}", id="proxy.E001")]
    return []
