"""The client other services import, and stored notifications.

Importing this package imports neither Django nor redis-py; what is used is loaded at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from notifications.client import NotificationClient
    from notifications.errors import InvalidMessage, NotConfigured, NotificationError, RedisRefused, RedisUnavailable
    from notifications.outgoing import Outgoing
    from notifications.shortcuts import (
        abroadcast_data_update,
        abroadcast_message,
        abroadcast_notification,
        aget_online_users,
        ais_user_online,
        asend_many,
        asend_message,
        asend_notification,
        asend_to_room,
        broadcast_data_update,
        broadcast_message,
        broadcast_notification,
        get_online_users,
        is_user_online,
        send_many,
        send_message,
        send_notification,
        send_to_room,
    )

_HOMES: Final = {
    "NotificationClient": "notifications.client",
    "InvalidMessage": "notifications.errors",
    "NotConfigured": "notifications.errors",
    "NotificationError": "notifications.errors",
    "RedisRefused": "notifications.errors",
    "RedisUnavailable": "notifications.errors",
    "Outgoing": "notifications.outgoing",
}
"""Where a name lives that is not in ``notifications.shortcuts``."""

__all__ = [
    "InvalidMessage",
    "NotConfigured",
    "NotificationClient",
    "NotificationError",
    "Outgoing",
    "RedisRefused",
    "RedisUnavailable",
    "abroadcast_data_update",
    "abroadcast_message",
    "abroadcast_notification",
    "aget_online_users",
    "ais_user_online",
    "asend_many",
    "asend_message",
    "asend_notification",
    "asend_to_room",
    "broadcast_data_update",
    "broadcast_message",
    "broadcast_notification",
    "get_online_users",
    "is_user_online",
    "send_many",
    "send_message",
    "send_notification",
    "send_to_room",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES.get(name, "notifications.shortcuts")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
