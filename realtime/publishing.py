"""Publishing as any other service would: JSON on an ingress channel, for the admin's form and the console."""

from __future__ import annotations

from typing import Any

import msgspec

from realtime import keys
from realtime.blocking_redis import redis_or_unavailable
from realtime.conf import get_settings

_PREFIXES = (keys.INGRESS_USER, keys.INGRESS_ROOM, keys.INGRESS_NOTIFICATION)


def is_ingress_channel(channel: str) -> bool:
    """Tell whether bridges listen to this channel."""
    if channel == keys.INGRESS_BROADCAST:
        return True
    longest = get_settings().max_name_length
    return any(channel.startswith(prefix) and 0 < len(channel) - len(prefix) <= longest for prefix in _PREFIXES)


def publish(channel: str, message: Any, *, durable: bool = False) -> None:
    """Send a message to the bridges, through the stream when ``durable``; they check it, not this function.

    Raises ``ValueError`` for another channel or a message over the size limit, and ``Unavailable``.
    """
    if not is_ingress_channel(channel):
        raise ValueError(f"{channel[:80]!r} is not an ingress channel")
    payload = msgspec.json.encode(message)
    if len(payload) > get_settings().max_payload_size:
        raise ValueError("the message is too large")
    with redis_or_unavailable("the message could not be published") as redis:
        if durable:
            redis.xadd(keys.INGRESS_STREAM, {"channel": channel, "message": payload})
        else:
            redis.publish(channel, payload)
