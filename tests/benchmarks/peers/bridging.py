"""When the way from PUBLISH to the server is open."""

from __future__ import annotations

import redis


def subscribed(url: str) -> bool:
    """Tell whether somebody listens to the ingress channels of this Redis."""
    with redis.Redis.from_url(url) as client:
        return bool(client.pubsub_numpat()) or bool(client.pubsub_channels("websocket:*"))
