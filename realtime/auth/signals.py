"""A user who is locked out, demoted, deleted or has a new password loses sessions, tokens and connections at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models.signals import post_delete, post_save, pre_save

from realtime import metrics
from realtime.auth.issuing import end_all_sessions
from realtime.codes import CloseCode, Unavailable

logger = logging.getLogger(__name__)

_DEMOTED = "_realtime_demoted"


def connect() -> None:
    """Listen to the project's user model."""
    receivers: tuple[tuple[Any, Callable[..., None]], ...] = (
        (pre_save, note_demotion),
        (post_save, after_save),
        (post_delete, after_delete),
    )
    for signal, receiver in receivers:
        signal.connect(receiver, sender=settings.AUTH_USER_MODEL, dispatch_uid=f"realtime.auth.{receiver.__name__}")


def note_demotion(instance: AbstractBaseUser, update_fields: Any = None, raw: bool = False, **_: Any) -> None:
    """Look, before the row changes, whether this save takes the staff role away."""
    touched = update_fields is None or "is_staff" in update_fields
    if raw or not touched or instance.pk is None or getattr(instance, "is_staff", True):
        return
    demoted = get_user_model().objects.filter(pk=instance.pk, is_staff=True).exists()
    setattr(instance, _DEMOTED, demoted)


def after_save(instance: AbstractBaseUser, created: bool = False, raw: bool = False, **_: Any) -> None:
    """Revoke when the save locked the user out, took the staff role away or set a new password.

    Django's own renewal of an old password hash at login is none: it leaves no new password on the instance.
    """
    demoted = instance.__dict__.pop(_DEMOTED, False)
    if created or raw:
        return
    if not instance.is_active:
        _revoke(instance, "the account was deactivated", CloseCode.FORBIDDEN)
    elif demoted or getattr(instance, "_password", None) is not None:  # where Django keeps one until it is saved
        _revoke(instance, "the account has changed", CloseCode.UNAUTHORIZED)


def after_delete(instance: AbstractBaseUser, **_: Any) -> None:
    """Revoke what a deleted user held."""
    _revoke(instance, "the account was deleted", CloseCode.FORBIDDEN)


def _revoke(user: AbstractBaseUser, reason: str, code: CloseCode) -> None:
    user_id = str(user.pk)

    def revoke() -> None:
        try:
            end_all_sessions(user_id, reason=reason, code=code)
        except Unavailable:
            metrics.errors.inc("revocation")
            logger.exception("access tokens could not be revoked", extra={"user_id": user_id})

    transaction.on_commit(revoke)
