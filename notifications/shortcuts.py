"""The functions other services import from ``notifications``: the methods of one client, made at first use."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar

from notifications.client import NotificationClient

P = ParamSpec("P")
T = TypeVar("T")
AsyncFunction = Callable[P, Coroutine[Any, Any, T]]


@functools.cache
def default_client() -> NotificationClient:
    """Return the client of this process; raises ``NotConfigured`` when it has no Redis URL."""
    return NotificationClient()


def forget_default_client(**_signal: Any) -> None:
    """Close the process's client and build it anew at the next use; also a receiver of ``setting_changed``."""
    if default_client.cache_info().currsize:
        default_client().close()
        default_client.cache_clear()


def _call(method: Callable[Concatenate[NotificationClient, P], T]) -> Callable[P, T]:
    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return method(default_client(), *args, **kwargs)

    _describe(call)
    return call


def _await(method: Callable[Concatenate[NotificationClient, P], Coroutine[Any, Any, T]]) -> AsyncFunction[P, T]:
    @functools.wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return await method(default_client(), *args, **kwargs)

    _describe(call)
    return call


def _describe(function: Any) -> None:
    """Show a function to ``help()`` and editors as the method without its ``self``."""
    signature = inspect.signature(function)
    function.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    function.__module__ = __name__
    function.__qualname__ = function.__name__


send_notification = _call(NotificationClient.send_notification)
asend_notification = _await(NotificationClient.asend_notification)
broadcast_notification = _call(NotificationClient.broadcast_notification)
abroadcast_notification = _await(NotificationClient.abroadcast_notification)
send_message = _call(NotificationClient.send_message)
asend_message = _await(NotificationClient.asend_message)
send_to_room = _call(NotificationClient.send_to_room)
asend_to_room = _await(NotificationClient.asend_to_room)
broadcast_message = _call(NotificationClient.broadcast_message)
abroadcast_message = _await(NotificationClient.abroadcast_message)
broadcast_data_update = _call(NotificationClient.broadcast_data_update)
abroadcast_data_update = _await(NotificationClient.abroadcast_data_update)
send_many = _call(NotificationClient.send_many)
asend_many = _await(NotificationClient.asend_many)
is_user_online = _call(NotificationClient.is_user_online)
ais_user_online = _await(NotificationClient.ais_user_online)
get_online_users = _call(NotificationClient.get_online_users)
aget_online_users = _await(NotificationClient.aget_online_users)
