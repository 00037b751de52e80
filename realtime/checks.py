"""System checks: a wrong setting is a ``manage.py check`` error, not a crash at midnight."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import import_string

from realtime.conf import build_settings


@register("realtime")
def check_realtime_settings(**_: Any) -> list[CheckMessage]:
    """Report unknown, mistyped or contradictory keys of ``settings.REALTIME`` (realtime.E001, E002)."""
    try:
        conf = build_settings(getattr(settings, "REALTIME", {}))
    except ValueError as error:
        return [Error(f"settings.REALTIME: {error}", id="realtime.E001")]
    try:
        import_string(conf.room_policy)
    except ImportError as error:
        return [Error(f"settings.REALTIME['room_policy']: {error}", id="realtime.E002")]
    return []
