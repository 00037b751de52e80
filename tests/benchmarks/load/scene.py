"""What the measures of one load process share: the crowd, the way in, and how a test message looks."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Final

import jwt

from realtime.loadtest.crowd import Crowd, Dial
from realtime.loadtest.marks import make_mark
from tests.benchmarks.load.publishers import open_publisher
from tests.benchmarks.peers.base import Route

_SOURCES: Final = 8
"""Loopback addresses to connect from, each with its own 28,000 ports."""
_TOKEN_LIFE: Final = 7200


class Scene:
    """One load process: its clients connect as ``<name>-<index>``."""

    def __init__(self, route: Route, name: str) -> None:
        self.route = route
        self.name = name
        self.publisher = open_publisher(route.publish)
        self.crowd = Crowd(self._dial, expect_welcome=route.expect_welcome)
        self.addressed = False
        """Whether new clients also hear what is for their user."""
        self.stop_broadcasting = False
        self.background: asyncio.Task[dict[str, Any]] | None = None
        self._tokens: list[str] = []

    def mint(self, count: int) -> None:
        """Have the tokens of the first ``count`` clients ready, so that making them is not measured."""
        if self.route.token_key:
            self._tokens += [self.token(self.user(index)) for index in range(len(self._tokens), count)]

    def user(self, index: int) -> str:
        """Return the user id of a client."""
        return f"{self.name}-{index}"

    def token(self, user: str) -> str:
        """Return a bearer token that the peer accepts."""
        now = int(time.time())
        claims = {"token_type": "access", "user_id": user, "username": user, "iat": now, "exp": now + _TOKEN_LIFE}
        return jwt.encode(claims | {"jti": user}, self.route.token_key, algorithm="HS256")

    def _dial(self, index: int) -> Dial:
        url = self.route.user_url if self.addressed else self.route.url
        return self._to(url, index, self._tokens[index] if self._tokens else "")

    def room_crowd(self, members: int) -> Crowd:
        """Return a crowd in rooms of ``members`` each, for the peers whose rooms are URLs."""

        def dial(index: int) -> Dial:
            user = f"{self.name}-member-{index}"
            url = self.route.room_url.replace("{room}", room_name(index // members))
            return self._to(url, index, self.token(user) if self.route.token_key else "")

        return Crowd(dial, expect_welcome=self.route.expect_welcome)

    def _to(self, url: str, index: int, token: str) -> Dial:
        return Dial(
            url=url.replace("{user}", self.user(index)),
            headers={"Authorization": f"Bearer {token}"} if token else {},
            user_id=self.user(index),
            source=f"127.0.0.{2 + index % _SOURCES}",
        )


def room_name(number: int) -> str:
    """Return the name of a test room."""
    return f"bench-{number}"


def message(kind: str, run: str, stream: str, sequence: int, *, size: int = 0, **fields: str) -> bytes:
    """Return a message whose content is a mark, of ``size`` bytes in all."""
    bare = len(json.dumps({"type": kind, **fields, "content": ""}))
    content = make_mark(run, stream, sequence, size=max(0, size - bare))
    return json.dumps({"type": kind, **fields, "content": content}).encode()
