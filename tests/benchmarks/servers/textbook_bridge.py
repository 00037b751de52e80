"""The bridge a textbook app would have: subscribe to Redis, ``group_send`` every message."""

from __future__ import annotations

import asyncio
import json
import os

import redis.asyncio as redis
from channels_redis.pubsub import RedisPubSubChannelLayer

URL = os.environ["BENCH_REDIS_URL"]
GROUPS = {"broadcast": "broadcast", "user": "user.", "room": "room."}


async def main() -> None:
    """Pass on messages until killed."""
    layer = RedisPubSubChannelLayer(hosts=[URL])
    pubsub = redis.Redis.from_url(URL, socket_timeout=None).pubsub()
    await pubsub.psubscribe("websocket:*")
    async for item in pubsub.listen():
        if item["type"] == "pmessage":
            _, kind, *name = item["channel"].decode().split(":", 2)
            group = GROUPS[kind] + "".join(name)
            await layer.group_send(group, {"type": "deliver", "message": json.loads(item["data"])})


if __name__ == "__main__":
    asyncio.run(main())
