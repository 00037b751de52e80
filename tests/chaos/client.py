"""A client as a device is: it keeps positions, reconnects for ever, resumes, and writes down what it gets."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.chaos.history import History, Joined, Received, Told

_PATIENCE = 10.0


class ChaosClient:
    """One device of a user; ``addresses()`` gives the gateways' ``ws://`` URLs, ``token()`` a fresh token."""

    def __init__(
        self,
        name: str,
        user_id: str,
        rooms: list[str],
        history: History,
        *,
        addresses: Callable[[], list[str]],
        token: Callable[[str], str],
    ) -> None:
        self.name = name
        self.user_id = user_id
        self.rooms = rooms
        self.reconnects = 0
        self._history = history
        self._addresses = addresses
        self._token = token
        self._positions: dict[str, dict[str, Any]] = {}
        self._socket: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self.settled = asyncio.Event()

    def start(self) -> None:
        """Connect, and stay connected."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Go away for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def drop(self) -> None:
        """Lose the connection without a close frame, as a phone in a tunnel does."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                async with asyncio.timeout(_PATIENCE):
                    socket = await self._connect()
                failures = 0
                await self._listen(socket)
            except (OSError, WebSocketException, TimeoutError):
                failures += 1
            self.reconnects += 1
            self.settled.clear()
            await asyncio.sleep(random.uniform(0, min(1.0, 0.1 * 2**failures)))

    async def _connect(self) -> ClientConnection:
        url = random.choice(self._addresses())
        resume = "?resume=1" if self._positions else ""
        headers = {"Authorization": f"Bearer {self._token(self.user_id)}"}
        socket = await connect(url + resume, additional_headers=headers, max_size=None, close_timeout=1)
        self._socket = socket
        welcome = json.loads(await socket.recv())
        if welcome["type"] != "welcome":
            await socket.close()
            raise OSError(f"refused: {welcome}")
        if self._positions:
            streams = {name: dict(at) for name, at in self._positions.items()}
            await socket.send(json.dumps({"type": "resume", "content": {"streams": streams}}))
        else:
            for name, at in welcome["data"]["streams"].items():
                self._join(name, at)
            for room in self.rooms:
                await socket.send(json.dumps({"type": "join_room", "id": f"join-{room}", "content": room}))
        return socket

    async def _listen(self, socket: ClientConnection) -> None:
        async for text in socket:
            message = json.loads(text)
            kind = message["type"]
            if kind == "ack" and str(message["id"]).startswith("join-"):
                stream = message["content"]["stream"]
                self._join(stream["name"], stream)
            elif kind == "resumed":
                self._resumed(message["content"]["streams"])
            elif kind == "data_update" and "n" in message["content"]:
                self._received(message)
            if len(self._positions) == len(self.rooms) + 2:
                self.settled.set()

    def _log_name(self, stream: str) -> str:
        return f"user:{self.user_id}" if stream == "user" else stream

    def _join(self, stream: str, at: dict[str, Any]) -> None:
        self._positions[stream] = {"epoch": at["epoch"], "offset": at["offset"]}
        key = (self.name, self._log_name(stream))
        self._history.joined.setdefault(key, Joined(*key, time.monotonic()))

    def _resumed(self, streams: dict[str, dict[str, Any]]) -> None:
        for stream, result in streams.items():
            if "error" in result:
                self.drop()
            elif not result["recovered"]:
                self._history.told.append(Told(self.name, self._log_name(stream), time.monotonic()))
                self._positions[stream] = {"epoch": result["epoch"], "offset": result["offset"]}

    def _received(self, message: dict[str, Any]) -> None:
        stream = message["data"]["stream"]
        self._positions[stream["name"]] = {"epoch": stream["epoch"], "offset": stream["offset"]}
        named, number = message["content"]["stream"], message["content"]["n"]
        if named != self._log_name(stream["name"]):
            named = f"foreign:{named}"
        self._history.received.append(Received(self.name, named, number, time.monotonic()))
