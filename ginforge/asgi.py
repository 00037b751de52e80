"""The ASGI application: HTTP to Django, WebSocket to the gateway."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ginforge.settings")
django_application = get_asgi_application()

# The gateway's modules need Django's apps, which the line above has loaded.
from channels.routing import ProtocolTypeRouter  # noqa: E402
from realtime.routing import application as websocket_application  # noqa: E402

application = ProtocolTypeRouter({"http": django_application, "websocket": websocket_application})
