"""Who sends what to whom: broadcast, unicast, room; through Redis, or from client to client."""

from __future__ import annotations

import asyncio
import json
import random
from abc import ABC, abstractmethod
from collections import defaultdict
from dataclasses import dataclass

from redis.asyncio import Redis

from realtime.loadtest.crowd import Client, Crowd
from realtime.loadtest.marks import make_mark
from realtime.loadtest.options import LoadOptions, LoadTestError
from realtime.loadtest.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a scenario works with; ``redis`` is None when clients send."""

    crowd: Crowd
    options: LoadOptions
    redis: Redis | None
    run: str
    tally: Tally


class Scenario(ABC):
    """Sends one test message at a time and tells the tally who should get it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._opened: set[str] = set()

    async def prepare(self) -> None:  # noqa: B027 (most need nothing)
        """Do what has to be done before the first message."""

    @abstractmethod
    async def send(self) -> None:
        """Send the next message."""

    def _content(self, stream: str, audience: list[Client]) -> str:
        if stream not in self._opened:
            self._opened.add(stream)
            self.stage.tally.open(stream.encode(), (client.index for client in audience))
        sequence = self.stage.tally.publish(stream.encode())
        return make_mark(self.stage.run, stream, sequence, size=self.stage.options.size - 80)

    async def _publish(self, channel: str, kind: str, content: str, **fields: str) -> None:
        assert self.stage.redis is not None
        await self.stage.redis.publish(channel, json.dumps({"type": kind, "content": content, **fields}))


class Broadcast(Scenario):
    """PUBLISH to ``websocket:broadcast``; everybody gets it."""

    async def send(self) -> None:
        """Publish one broadcast."""
        content = self._content("b", self.stage.crowd.clients)
        await self._publish("websocket:broadcast", "broadcast", content)


class Unicast(Scenario):
    """To one user: PUBLISH to ``websocket:user:<id>``, or chat from another client."""

    async def prepare(self) -> None:
        """Find out which clients are whose."""
        self._devices: dict[str, list[Client]] = defaultdict(list)
        for client in self.stage.crowd.clients:
            self._devices[client.user_id].append(client)
        self._users = list(self._devices)
        if not all(self._users):
            raise LoadTestError("the gateway's welcome names no user_id: unicast needs --token or --jwt-key")
        if self.stage.redis is None and len(self._users) < 2:
            raise LoadTestError("all clients are the same user: chat needs --jwt-key, or --redis-url")

    async def send(self) -> None:
        """Send to a random user."""
        number = random.randrange(len(self._users))
        user = self._users[number]
        if self.stage.redis is not None:
            content = self._content(f"u{number}", self._devices[user])
            await self._publish(f"websocket:user:{user}", "chat", content)
            return
        while (sender := random.choice(self.stage.crowd.clients)).user_id == user:
            pass
        content = self._content(f"u{number}-{sender.index}", self._devices[user])
        sender.send(json.dumps({"type": "chat", "to": user, "content": content}).encode())


class Room(Scenario):
    """To a room: PUBLISH to ``websocket:room:<room>``, or a ``room_message`` from a member."""

    async def prepare(self) -> None:
        """Join: as many to a room as the options say."""
        crowd, size = self.stage.crowd, self.stage.options.room_size
        self._rooms = [crowd.clients[start : start + size] for start in range(0, len(crowd.clients), size)]
        waiting = {client.index for client in crowd.clients}
        joined = asyncio.Event()

        def receive(client: Client, payload: bytes, _at: float) -> None:
            if b'"ack"' in payload:
                waiting.discard(client.index)
                if not waiting:
                    joined.set()
            elif b'"error"' in payload and b'"join"' in payload:
                refusals.append(payload.decode(errors="replace"))
                joined.set()

        refusals: list[str] = []
        crowd.on_message = receive
        for number, members in enumerate(self._rooms):
            for client in members:
                client.send(json.dumps({"type": "join_room", "id": "join", "content": self._name(number)}).encode())
        try:
            await asyncio.wait_for(joined.wait(), self.stage.options.timeout)
        except TimeoutError:
            raise LoadTestError(f"{len(waiting)} clients got no answer to join_room") from None
        if refusals:
            raise LoadTestError(f"the gateway refused join_room: {refusals[0]}")

    def _name(self, number: int) -> str:
        return f"loadtest:{self.stage.run}:{number}"

    async def send(self) -> None:
        """Send to a random room."""
        number = random.randrange(len(self._rooms))
        room, members = self._name(number), self._rooms[number]
        if self.stage.redis is not None:
            content = self._content(f"r{number}", members)
            await self._publish(f"websocket:room:{room}", "room_message", content)
            return
        sender = random.choice(members)
        content = self._content(f"r{number}-{sender.index}", members)
        sender.send(json.dumps({"type": "room_message", "room": room, "content": content}).encode())


ALL: dict[str, type[Scenario]] = {"broadcast": Broadcast, "unicast": Unicast, "room": Room}
