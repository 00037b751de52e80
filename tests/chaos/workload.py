"""Publishers as back ends would be: numbered messages on many streams, over PubSub or the durable ingress."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from tests.chaos.history import History, Sent


class Workload:
    """Sends to every stream each ``interval`` seconds, with ids; durable messages are tried until Redis has them."""

    def __init__(
        self, redis_url: str, streams: Sequence[str], history: History, *, durable: bool, interval: float = 0.1
    ) -> None:
        self._redis = Redis.from_url(
            redis_url, socket_connect_timeout=1, socket_timeout=2, retry=Retry(NoBackoff(), 0), max_connections=100
        )
        self._streams = streams
        self._history = history
        self._durable = durable
        self._interval = interval
        self._run = uuid.uuid4().hex[:8]
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to publish."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._publish(stream)) for stream in self._streams]

    async def stop(self) -> None:
        """Finish what has been begun and end."""
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        await self._redis.aclose()

    async def _publish(self, stream: str) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1
            content = {"entity": "chaos", "action": "tick", "n": number, "stream": stream}
            message = {"type": "data_update", "id": f"{self._run}-{stream}-{number}", "content": content}
            began = time.monotonic()
            self._history.sent[stream, number] = Sent(stream, number, began, accepted=False)
            if await self._send(_channel(stream), json.dumps(message)):
                self._history.sent[stream, number] = Sent(stream, number, began, accepted=True)
            await asyncio.sleep(self._interval)

    async def _send(self, channel: str, text: str) -> bool:
        while True:
            try:
                if not self._durable:
                    return bool(await self._redis.publish(channel, text))
                await self._redis.xadd("ginforge:ingress", {"channel": channel, "message": text})
            except (RedisError, OSError):
                if not self._durable:
                    return False
                await asyncio.sleep(0.05)
            else:
                return True


def _channel(stream: str) -> str:
    return "websocket:broadcast" if stream == "broadcast" else f"websocket:{stream}"
