"""System checks: a wrong setting is a ``manage.py check`` error, not a crash at midnight."""

from __future__ import annotations

from typing import Any

import jwt
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from realtime.auth.origin import build_rules
from realtime.auth.tokens import TokenVerifier, rules_from_settings
from realtime.conf import build_settings
from realtime.permissions import build_policy


@register("realtime")
def check_realtime_settings(**_: Any) -> list[CheckMessage]:
    """Report unknown, mistyped or contradictory keys of ``settings.REALTIME`` (realtime.E001, E002)."""
    try:
        conf = build_settings(getattr(settings, "REALTIME", {}))
    except ValueError as error:
        return [Error(f"settings.REALTIME: {error}", id="realtime.E001")]
    try:
        build_policy(conf)
    except (ImportError, TypeError) as error:
        name = "room_permissions" if conf.room_permissions else "room_policy"
        return [Error(f"settings.REALTIME[{name!r}]: {error}", id="realtime.E002")]
    return []


@register("realtime")
def check_access_settings(**_: Any) -> list[CheckMessage]:
    """Report what is no origin in ``ALLOWED_ORIGINS``, and keys no token can be verified with (realtime.E003, E004)."""
    problems: list[CheckMessage] = []
    try:
        build_rules(getattr(settings, "ALLOWED_ORIGINS", ()))
    except ValueError as error:
        problems.append(Error(f"settings.ALLOWED_ORIGINS: {error}", id="realtime.E003"))
    try:
        TokenVerifier(rules_from_settings())
    except (jwt.PyJWTError, NotImplementedError, ValueError, TypeError) as error:
        text = f"settings.SIMPLE_JWT: tokens cannot be verified with this algorithm and key ({type(error).__name__})"
        problems.append(Error(text, id="realtime.E004"))
    return problems
