"""Where WebSockets go: ``application`` serves ``/ws``; ``urlpatterns`` are for a project's own Channels router."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from asgiref.sync import markcoroutinefunction
from django.urls import re_path

from realtime.codes import CloseCode
from realtime.consumers import GatewayConsumer, Receive, Scope, Send

PATHS: Final = frozenset({"/ws", "/ws/"})

urlpatterns = [re_path(r"^ws/?$", GatewayConsumer.as_asgi())]


def application(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    """Return the consumer's own coroutine: a router's frame would stay alive, and in memory, as long as it does."""
    if scope["path"] in PATHS:
        return GatewayConsumer()(scope, receive, send)
    return _refuse(receive, send)


async def _refuse(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": CloseCode.FORBIDDEN})


markcoroutinefunction(application)
