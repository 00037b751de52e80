"""Where WebSockets go. ``application`` serves ``/ws``; ``urlpatterns`` are for a project's own Channels router."""

from __future__ import annotations

from channels.routing import URLRouter
from django.urls import re_path

from realtime.consumers import GatewayConsumer

urlpatterns = [re_path(r"^ws/?$", GatewayConsumer.as_asgi())]

application = URLRouter(urlpatterns)
