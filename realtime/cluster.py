"""The cluster seen from outside a gateway process: plain blocking reads and orders over redis-py.

For views, the admin, management commands and other services; importing it needs neither Django nor a running loop.
"""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from redis import Redis
from redis.exceptions import RedisError

from realtime import keys
from realtime.codes import CloseCode, Unavailable
from realtime.groups import CONTROL

_ANSWER_WAIT: Final = 1.0
"""Seconds to wait for the processes' answers; those that answer later are left out."""


class Stats(msgspec.Struct, frozen=True):
    """The figures of ``/ws/stats``; ``uptime`` is that of the oldest live gateway process, whole seconds."""

    total_clients: int
    online_users: int
    total_rooms: int
    uptime: int


class Cluster:
    """Reads and controls all gateway processes; every method raises ``Unavailable`` when Redis does not answer.

    ``urls`` are the Redis shards of the channel layer, in its order; presence lives on the first.
    """

    def __init__(self, urls: Sequence[str], *, connect_timeout: float = 2.0, timeout: float = 5.0) -> None:
        self._clients = [
            Redis.from_url(
                url,
                socket_connect_timeout=connect_timeout,
                socket_timeout=timeout,
                socket_keepalive=True,
                health_check_interval=30,
            )
            for url in urls
        ]

    @property
    def redis(self) -> Redis:
        """Client of the first shard."""
        return self._clients[0]

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.close()

    # Reading

    def stats(self) -> Stats:
        """Count connections, users and rooms of the whole cluster."""
        nodes = self.nodes()
        users, rooms = self._pipeline(("HLEN", keys.PRESENCE_USERS), ("HLEN", keys.PRESENCE_ROOMS))
        now = time.time()
        return Stats(
            total_clients=sum(int(node["clients"]) for node in nodes),
            online_users=users,
            total_rooms=rooms,
            uptime=max((int(now - node["started"]) for node in nodes), default=0),
        )

    def nodes(self) -> list[dict[str, Any]]:
        """List the live gateway processes as they described themselves (``realtime.node``), oldest first."""
        seconds, micros = self._call("TIME")
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        names = self._call("ZRANGEBYSCORE", keys.PRESENCE_NODES, now_ms, "+inf")
        infos = self._pipeline(*[("HGET", keys.node_info(_text(name)), "info") for name in names])
        nodes = [msgspec.json.decode(info) for info in infos if info]
        return sorted(nodes, key=lambda node: float(node["started"]))

    def online_users(self) -> list[str]:
        """List the ids of all users with a connection, sorted."""
        return sorted(_text(user_id) for user_id in self._call("HKEYS", keys.PRESENCE_USERS))

    def is_online(self, user_id: str) -> bool:
        """Tell whether a user has a connection anywhere."""
        return bool(self._call("HEXISTS", keys.PRESENCE_USERS, user_id))

    def rooms(self) -> list[dict[str, Any]]:
        """List the rooms with members as ``{room, nodes}``, sorted by name."""
        found = self._call("HGETALL", keys.PRESENCE_ROOMS)
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        return sorted(({"room": _text(k), "nodes": int(v)} for k, v in pairs), key=lambda row: str(row["room"]))

    def bridges(self) -> list[dict[str, Any]]:
        """List the bridges as they described themselves; ``at`` is their last heartbeat, Unix seconds."""
        return [msgspec.json.decode(value) for value in self._call("HVALS", keys.BRIDGES)]

    def connections(
        self,
        *,
        user_id: str | None = None,
        client_id: str | None = None,
        address: str | None = None,
        room: str | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Ask every process for its connections (``realtime.control.describe``), oldest first, ``limit`` at most."""
        filters = {"user_id": user_id, "client_id": client_id, "address": address, "room": room}
        wanted = {name: value for name, value in filters.items() if value is not None}
        reply_to = f"{keys.PREFIX}:{{presence}}:reply:{secrets.token_hex(8)}"
        expected = len(self.nodes())
        self.control(op="connections", reply_to=reply_to, limit=limit, **wanted)
        rows = [row for answer in self._answers(reply_to, expected) for row in answer]
        return sorted(rows, key=lambda row: float(row["connected_at"]))[:limit]

    def members(self, room: str, *, limit: int = 1000) -> list[dict[str, Any]]:
        """List the connections that are in a room."""
        return self.connections(room=room, limit=limit)

    def _answers(self, key: str, expected: int) -> list[list[dict[str, Any]]]:
        answers: list[list[dict[str, Any]]] = []
        deadline = time.monotonic() + _ANSWER_WAIT
        while len(answers) < expected and (left := deadline - time.monotonic()) > 0:
            found = self._call("BLPOP", key, max(0.01, left))
            if found is None:
                break
            answers.append(msgspec.json.decode(found[1]))
        return answers

    # Orders

    def disconnect(
        self,
        *,
        user_id: str | None = None,
        client_id: str | None = None,
        jti: str | None = None,
        code: int = CloseCode.FORBIDDEN,
        reason: str = "disconnected",
    ) -> None:
        """Cut the connections of one user, one client or one token on every process; exactly one must be given."""
        target = {name: value for name, value in _targets(user_id, client_id, jti) if value is not None}
        if len(target) != 1:
            raise ValueError("give exactly one of user_id, client_id and jti")
        self.control(op="disconnect", code=int(code), reason=reason, **target)

    def recheck(self, user_id: str | None = None) -> None:
        """Have every process hold room memberships (of one user, or all) against the room policy again."""
        self.control(op="recheck", user_id=user_id)

    def trace(self, trace_id: str, *, until: float, **target: str) -> None:
        """Copy what a ``user_id`` or a ``room`` is sent to the room of this trace, until then (Unix seconds)."""
        self.control(op="trace", trace=trace_id, until=until, **target)

    def untrace(self, trace_id: str) -> None:
        """End a trace."""
        self.control(op="untrace", trace=trace_id)

    def control(self, **event: Any) -> int:
        """Send a control event to every process; returns how many heard it."""
        channel = keys.group_channel(CONTROL)
        payload = msgspec.msgpack.encode({"type": "realtime.control", **event})
        shard = self._clients[keys.shard_index(channel, len(self._clients))]
        try:
            return int(shard.publish(channel, payload))
        except RedisError as error:
            raise Unavailable("Redis is not reachable") from error

    # Redis

    def _call(self, *command: Any) -> Any:
        try:
            return self.redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py
        except RedisError as error:
            raise Unavailable("Redis is not reachable") from error

    def _pipeline(self, *commands: tuple[Any, ...]) -> list[Any]:
        pipe = self.redis.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py
        try:
            return pipe.execute()
        except RedisError as error:
            raise Unavailable("Redis is not reachable") from error


def _targets(user_id: str | None, client_id: str | None, jti: str | None) -> list[tuple[str, str | None]]:
    return [("user_id", user_id), ("client_id", client_id), ("jti", jti)]


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


@functools.cache
def get_cluster() -> Cluster:
    """Return the project's cluster, from ``settings.REDIS_URLS``."""
    from django.conf import settings

    from realtime.conf import get_settings

    conf = get_settings()
    return Cluster(settings.REDIS_URLS, connect_timeout=conf.redis_connect_timeout, timeout=conf.redis_timeout)
