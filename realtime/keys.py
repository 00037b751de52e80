"""Names of all Redis keys and channels. Braces are Redis Cluster hash tags: what one script touches shares one."""

from __future__ import annotations

import binascii
from typing import Final

PREFIX: Final = "ginforge"

INGRESS_PATTERN: Final = "websocket:*"
INGRESS_BROADCAST: Final = "websocket:broadcast"
INGRESS_USER: Final = "websocket:user:"
INGRESS_ROOM: Final = "websocket:room:"
INGRESS_NOTIFICATION: Final = "websocket:notification:"
INGRESS_STREAM: Final = "ginforge:ingress"
DEAD_LETTERS: Final = "ginforge:deadletters"

PRESENCE_NODES: Final = "ginforge:{presence}:nodes"
"""Sorted set: node id → end of its lease, Unix milliseconds."""
PRESENCE_USERS: Final = "ginforge:{presence}:users"
"""Hash: user id → number of nodes that hold a connection of that user."""
PRESENCE_ROOMS: Final = "ginforge:{presence}:rooms"
"""Hash: room → number of nodes that hold a member."""
PRESENCE_BUDGET: Final = "ginforge:{presence}:budget"
PRESENCE_CHANGED: Final = "ginforge:{presence}:changed"

_SEATS: Final = "ginforge:{presence}:seats:"

BRIDGE_LEASE: Final = "ginforge:{bridge}:lease"
BRIDGE_FENCE: Final = "ginforge:{bridge}:fence"
BRIDGE_EVENTS: Final = "ginforge:{bridge}:events"
"""Pub/sub channel on which bridges mark places in the ingress and hand over."""
BRIDGES: Final = "ginforge:{bridge}:seen"
"""Hash: bridge id → JSON with its state, role and ``at`` (Unix seconds of the last heartbeat)."""


def stream_meta(group: str) -> str:
    """Hash of one stream: ``e`` epoch, ``o`` offset, ``r`` the Redis run that assigned them."""
    return f"{PREFIX}:{{{group}}}:meta"


def stream_log(group: str) -> str:
    """Redis stream with the history of one group, entry ids ``<offset>-0``."""
    return f"{PREFIX}:{{{group}}}:log"


def stream_seen(group: str, dedupe_id: str) -> str:
    """Key that marks ``dedupe_id`` as delivered on this group for the idempotency window."""
    return f"{PREFIX}:{{{group}}}:seen:{dedupe_id}"


def node_info(node: str) -> str:
    """Hash of one gateway process: ``info`` holds JSON, renewed with its lease."""
    return f"{PREFIX}:{{presence}}:node:{node}"


def node_users(node: str) -> str:
    """Set of the users with a connection on this node."""
    return f"{PREFIX}:{{presence}}:node:{node}:users"


def node_rooms(node: str) -> str:
    """Set of the rooms with a member on this node."""
    return f"{PREFIX}:{{presence}}:node:{node}:rooms"


def user_seats(user_id: str) -> str:
    """Sorted set of a user's connections in the cluster, ``<client id> <node>`` by the time they came."""
    return _SEATS + user_id


def group_channel(group: str) -> str:
    """Redis pub/sub channel of a channel-layer group, as channels-redis names it."""
    return f"{PREFIX}__group__{group}"


def revoked_token(jti: str) -> str:
    """Exists while the access token with this id is revoked and not yet expired."""
    return f"{PREFIX}:revoked:jti:{jti}"


def revoked_user(user_id: str) -> str:
    """Unix seconds: this user's tokens issued then or earlier are revoked."""
    return f"{PREFIX}:revoked:user:{user_id}"


def shard_index(channel: str, shards: int) -> int:
    """Tell which of several Redis shards carries a channel, by the rule of channels-redis."""
    if shards == 1:
        return 0
    return int((binascii.crc32(channel.encode()) & 0xFFF) / (4096 / float(shards)))
