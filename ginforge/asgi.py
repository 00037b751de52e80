"""The ASGI application: HTTP to Django, WebSocket to the gateway, start and end of the process to the hub."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import markcoroutinefunction
from django.conf import settings
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ginforge.settings")
django_application = get_asgi_application()

# The gateway's modules need Django's apps, which the line above has loaded.
from ginforge.forwarded import ProxyRules  # noqa: E402
from ginforge.logs import redact_access_log  # noqa: E402
from ginforge.proxy.application import build_proxy  # noqa: E402
from ginforge.server.runtime import runtime  # noqa: E402
from realtime import audit, metrics  # noqa: E402
from realtime.hub import get_hub  # noqa: E402
from realtime.routing import application as websocket_application  # noqa: E402

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_proxies = ProxyRules.of(settings.TRUSTED_PROXIES)
proxy = build_proxy()


def application(scope: dict[str, Any], receive: Receive, send: Send) -> Awaitable[None]:
    """Serve one ASGI scope; a plain function, so that it leaves no frame behind."""
    if scope["type"] == "lifespan":
        return _live(receive, send)
    _proxies.apply(scope)
    if proxy.takes(scope):
        return proxy(scope, receive, send)
    if scope["type"] == "websocket":
        return websocket_application(scope, receive, send)
    return django_application(scope, receive, send)


async def _live(receive: Receive, send: Send) -> None:
    """Bring the hub up with the process, and take it out of the cluster at its end."""
    hub = get_hub()
    runtime.on_drain.append(hub.drain)
    hub.buffered_bytes = lambda: runtime.buffered_bytes
    runtime.on_limit = metrics.limits.inc
    await receive()
    starting = asyncio.get_running_loop().create_task(hub.start_when_possible())
    await send({"type": "lifespan.startup.complete"})
    await receive()
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    await hub.stop()
    await proxy.close()
    await send({"type": "lifespan.shutdown.complete"})


redact_access_log()
audit.store_events()
markcoroutinefunction(application)
