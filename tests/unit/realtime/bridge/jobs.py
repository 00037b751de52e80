"""Jobs and a Redis made of memory for the tests of the bridge's parts."""

from __future__ import annotations

import asyncio
from typing import Any

from realtime.bridge.outbox import Failure, Job
from realtime.bridge.router import Routed
from realtime.codes import Unavailable
from realtime.layer import Published
from realtime.sequencer import Position


class Outcomes(list[tuple[str, Any]]):
    """What became of each job, in order: (message id, ``Published`` or a failure's reason)."""

    def __call__(self, job: Job, result: Published | Failure) -> None:
        self.append((job.routed.message_id, result.reason if isinstance(result, Failure) else result))


def make_job(number: int, outcomes: Outcomes | None = None, **values: Any) -> Job:
    """Build a job with the message id ``m<number>``, received at second ``number`` unless said."""
    given = values.pop("id_given", True)
    text = values.pop("text", b'{"data":{}}')
    defaults: dict[str, Any] = {
        "routed": Routed(f"user.{number % 3}", text, f"m{number}", given, "x", None, 1),
        "channel": b"websocket:user:u",
        "source": "pubsub",
        "received": float(number),
        "done": Outcomes() if outcomes is None else outcomes,
    }
    return Job(**(defaults | values))


class FakeLink:
    """As much of a link as a lane reads."""

    run_id = "run-1"


class FakeShard:
    """A Redis that answers when told to: ``answer`` the oldest, or ``lose`` everything."""

    index = 0

    def __init__(self) -> None:
        self.link = FakeLink()
        self.asked: list[tuple[Any, str, int | None]] = []
        self.sent: list[str] = []
        self._up = asyncio.Event()
        self._up.set()

    @property
    def up(self) -> bool:
        return self._up.is_set()

    async def connected(self) -> None:
        await self._up.wait()

    def publish(self, group: str, text: bytes, callback: Any, dedupe_id: str, window: int | None = None) -> None:
        self.sent.append(dedupe_id.removeprefix("i:"))
        self.asked.append((callback, dedupe_id, window))

    def answer(self, count: int = 1, reply: Any = None) -> None:
        for _ in range(count):
            self.asked.pop(0)[0](reply or Published(Position("e", 1), 1))

    def lose(self, *, run_id: str | None = None) -> None:
        self._up.clear()
        asked, self.asked = self.asked, []
        for callback, _, _ in asked:
            callback(Unavailable("lost"))
        if run_id:
            self.link.run_id = run_id

    def come_back(self) -> None:
        self._up.set()


class FakeLayer:
    """A layer of one shard."""

    def __init__(self) -> None:
        self.only = FakeShard()
        self.shards = [self.only]

    def shard(self, group: str) -> FakeShard:
        return self.only


async def until(condition: Any, turns: int = 500) -> None:
    """Let the event loop run until ``condition()`` is true."""
    for _ in range(turns):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("waited in vain")
