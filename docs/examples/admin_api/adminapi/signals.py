"""Every change of a user reaches every open list, once it is committed."""

import functools
import logging
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from notifications import NotificationError, broadcast_data_update

logger = logging.getLogger(__name__)


@receiver(post_save, sender=User)
def user_saved(instance: User, created: bool, **_: Any) -> None:
    """Tell of a new or changed user."""
    _tell_on_commit("create" if created else "update", instance)


@receiver(post_delete, sender=User)
def user_deleted(instance: User, **_: Any) -> None:
    """Tell of a user who is gone."""
    _tell_on_commit("delete", instance)


def _tell_on_commit(action: str, user: User) -> None:
    transaction.on_commit(functools.partial(_tell, action, user.pk, user.get_username()))


def _tell(action: str, user_id: int, username: str) -> None:
    try:
        broadcast_data_update("user", action, id=user_id, data={"username": username})
    except NotificationError as error:  # the change itself stands; lists show it at their next load
        logger.warning("lists were not told of user %s: %s", user_id, error)
