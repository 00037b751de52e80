"""The gateway as the Channels tutorial would have it: one group membership per connection, JSON once per member.

``python -m daphne tests.benchmarks.servers.textbook:application``; environment: ``BENCH_REDIS_URL``, ``BENCH_JWT_KEY``.
The JWT check at connect is the one thing the tutorial does not have; it is here so that all peers do the same.
"""

from __future__ import annotations

import os
from typing import Any

import django
import jwt
from django.conf import settings

settings.configure(
    SECRET_KEY="benchmark",
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=["channels"],
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": os.environ.get("BENCH_CHANNEL_LAYER", "channels_redis.pubsub.RedisPubSubChannelLayer"),
            "CONFIG": {"hosts": [os.environ["BENCH_REDIS_URL"]]},
        }
    },
)
django.setup()

from channels.generic.websocket import AsyncJsonWebsocketConsumer  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.urls import path  # noqa: E402

JWT_KEY = os.environ["BENCH_JWT_KEY"]


class TextbookConsumer(AsyncJsonWebsocketConsumer):
    """One connection, in the broadcast group and in its user's group."""

    async def connect(self) -> None:
        """Check the token, join, welcome."""
        token = dict(self.scope["headers"]).get(b"authorization", b"").removeprefix(b"Bearer ")
        try:
            claims = jwt.decode(token, JWT_KEY, algorithms=["HS256"])
        except jwt.InvalidTokenError:
            await self.close()
            return
        self.groups_joined = ["broadcast", f"user.{claims['user_id']}"]
        for group in self.groups_joined:
            await self.channel_layer.group_add(group, self.channel_name)
        await self.accept()
        await self.send_json({"type": "welcome", "data": {"user_id": claims["user_id"]}})

    async def disconnect(self, code: int) -> None:
        """Leave every group."""
        for group in getattr(self, "groups_joined", ()):
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive_json(self, content: dict[str, Any], **kwargs: Any) -> None:
        """Join a room, or send to one."""
        if content["type"] == "join_room":
            group = f"room.{content['content']}"
            self.groups_joined.append(group)
            await self.channel_layer.group_add(group, self.channel_name)
            await self.send_json({"type": "ack", "id": content.get("id")})
        elif content["type"] == "room_message":
            event = {"type": "deliver", "message": content}
            await self.channel_layer.group_send(f"room.{content['room']}", event)

    async def deliver(self, event: dict[str, Any]) -> None:
        """Send what came through the channel layer."""
        await self.send_json(event["message"])


application = ProtocolTypeRouter(
    {"http": get_asgi_application(), "websocket": URLRouter([path("ws", TextbookConsumer.as_asgi())])}
)
