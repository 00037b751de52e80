"""A gateway's ear for bridge tests: what reaches a group's channel, in order, read in a thread."""

from __future__ import annotations

import contextlib
import json
import threading
from typing import Any, Self

import redis

from realtime.keys import group_channel
from realtime.layer import parse_item
from tests.integration.programs import wait_until


class Listener:
    """Subscribes to groups like a gateway process; ``messages`` is everything heard so far.

    A Redis that goes away is waited for; the subscription is made again. A context manager.
    """

    def __init__(self, url: str, *groups: str) -> None:
        self.messages: list[dict[str, Any]] = []
        self.subscriptions = 0
        self._url = url
        self._groups = groups
        self._closing = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def contents(self) -> list[Any]:
        """Return the ``content`` of every message."""
        return [message["content"] for message in self.messages]

    def ids(self) -> list[str]:
        """Return the ``id`` of every message."""
        return [message["id"] for message in self.messages]

    def wait_for(self, count: int, timeout: float = 20.0) -> None:
        """Wait until that many messages came."""
        wait_until(lambda: len(self.messages) >= count, f"{count} messages; there are {len(self.messages)}", timeout)

    def _run(self) -> None:
        while not self._closing:
            with contextlib.suppress(redis.RedisError):
                self._listen()

    def _listen(self) -> None:
        with redis.Redis.from_url(self._url) as client, client.pubsub() as pubsub:
            pubsub.subscribe(*map(group_channel, self._groups))
            confirmed = 0
            while not self._closing:
                push = pubsub.get_message(timeout=0.1)
                if push is None:
                    continue
                if push["type"] == "message":
                    self._take(push["data"])
                elif push["type"] == "subscribe":
                    confirmed += 1
                    self.subscriptions += confirmed == len(self._groups)

    def _take(self, data: bytes) -> None:
        if data[:1] == b"\x01":
            item = parse_item(data)
            self.messages.append(json.loads(item.text) | {"offset": item.offset})

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self.subscriptions, "the subscription")
        return self

    def __exit__(self, *details: object) -> None:
        self._closing = True
        self._thread.join(5)
