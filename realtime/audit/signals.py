"""Logins of Django and lock-outs of django-axes, as audit events."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from realtime.audit.events import Event, record


def connect() -> None:
    """Listen."""
    user_logged_in.connect(on_login, dispatch_uid="realtime.audit.login")
    user_logged_out.connect(on_logout, dispatch_uid="realtime.audit.logout")
    user_login_failed.connect(on_failure, dispatch_uid="realtime.audit.failure")
    if apps.is_installed("axes"):
        from axes.signals import user_locked_out

        user_locked_out.connect(on_lockout, dispatch_uid="realtime.audit.lockout")


def on_login(request: Any = None, user: Any = None, **_: Any) -> None:
    """Note a login with a session, as into the admin."""
    record(Event.LOGIN, actor=_pk(user), target=str(user), address=_address(request))


def on_logout(request: Any = None, user: Any = None, **_: Any) -> None:
    """Note a logout."""
    if user is not None:
        record(Event.LOGOUT, actor=_pk(user), address=_address(request))


def on_failure(credentials: dict[str, Any], request: Any = None, **_: Any) -> None:
    """Note a wrong name or password; the name is what was typed, and may be a password typed in the wrong field."""
    record(Event.LOGIN_FAILED, target=_name(credentials.get("username")), address=_address(request))


def on_lockout(request: Any = None, username: str = "", ip_address: str = "", **_: Any) -> None:
    """Note that somebody has guessed too often."""
    record(Event.LOCKED_OUT, target=_name(username), address=ip_address or _address(request))


def _pk(user: Any) -> str:
    return str(getattr(user, "pk", "") or "")


def _name(text: Any) -> str:
    return str(text or "")[:64]


def _address(request: Any) -> str:
    return str(request.META.get("REMOTE_ADDR", "")) if request is not None else ""
