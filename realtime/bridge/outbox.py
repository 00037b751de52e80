"""Publishes routed messages in order, many at once, and again after a failure; one lane per Redis of the layer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, Literal

import msgspec

from realtime import metrics
from realtime.bridge.router import Routed
from realtime.codes import Unavailable
from realtime.layer import Published, Shard, StreamLoopLayer

logger = logging.getLogger(__name__)

SourceName = Literal["pubsub", "stream"]

MAX_JOBS: Final = 200_000
MAX_BYTES: Final = 128 * 1_048_576
MAX_TRIES: Final = 5
"""Error replies of Redis to one message before it is given up."""
MAX_AGE: Final = 120.0
"""Seconds a message may wait for its Redis."""
RETRY_WINDOW: Final = 20
"""Seconds for which a filled-in id guards against a second delivery by a retry; each id costs memory in Redis."""
_LAST_RETRY: Final = RETRY_WINDOW - 5.0
_CHUNK: Final = 500
_ERROR_PAUSE: Final = 0.5


class Failure(msgspec.Struct, frozen=True):
    """Why a message was not published: a few words for a metric, and a text for people.

    ``blame`` tells a message that Redis refused from one that it never decided upon.
    """

    reason: Literal["overflow", "expired", "redis", "restarted", "lease", "unavailable"]
    text: str
    blame: bool = False


class Job(msgspec.Struct, gc=False):
    """One message until it is published; ``done`` hears once what became of it.

    One from the ingress stream never waits and is not tried again here: it fails, and its source reads it again
    with all that came after it.
    """

    routed: Routed
    channel: bytes
    source: SourceName
    received: float
    """Monotonic seconds."""
    done: Callable[[Job, Published | Failure], None]
    owned: bool = True
    """Whether the lease was held when it was received."""
    entry_id: bytes = b""
    """Place in the ingress stream, for those that came from there."""
    tries: int = 0
    sent: float = 0.0
    run_id: str = ""

    @property
    def lasting_id(self) -> bool:
        """Whether a second delivery, however late, would have the same id."""
        return self.routed.id_given or self.source == "stream"

    @property
    def cost(self) -> int:
        """Bytes this job is charged for."""
        return len(self.routed.text) + 500


class Outbox:
    """Everything that was accepted and is not yet published, bounded in number and bytes.

    ``permitted`` is asked before every message; while it says no, messages wait. ``trust_persistence`` is the
    setting of that name: without it, a message whose fate is open when Redis restarts is not sent again.
    """

    def __init__(self, layer: StreamLoopLayer, permitted: Callable[[], bool], *, trust_persistence: bool) -> None:
        self.permitted = permitted
        self.trust_persistence = trust_persistence
        self.count = 0
        self.size = 0
        self._layer = layer
        self._lanes = [Lane(shard, self) for shard in layer.shards]
        self._empty = asyncio.Event()
        self._empty.set()

    def submit(self, job: Job) -> None:
        """Publish behind everything submitted before to the same Redis."""
        if self.count >= MAX_JOBS or self.size >= MAX_BYTES:
            job.done(job, Failure("overflow", "too many messages wait for Redis"))
            return
        self._account(job)
        self._lane(job).submit(job)

    @property
    def flowing(self) -> bool:
        """Whether a message submitted now would be sent at once, wherever it goes."""
        return self.count < MAX_JOBS and self.size < MAX_BYTES and all(lane.flowing for lane in self._lanes)

    def put_first(self, jobs: Iterable[Job]) -> None:
        """Publish these before everything that waits now; call ``resume`` afterwards."""
        for job in reversed(list(jobs)):
            self._account(job)
            self._lane(job).waiting.appendleft(job)

    def resume(self) -> None:
        """Send what waits, now that it is permitted."""
        for lane in self._lanes:
            if lane.waiting:
                lane.wake()

    def surrender(self) -> list[Job]:
        """Give back all that waits, oldest first; ``done`` is not called."""
        jobs = [job for lane in self._lanes for job in lane.surrender()]
        jobs.sort(key=lambda job: job.received)
        for job in jobs:
            self.settle(job)
        return jobs

    def oldest(self) -> float | None:
        """Return when the oldest unpublished message was received (monotonic)."""
        return min((at for lane in self._lanes if (at := lane.oldest()) is not None), default=None)

    async def drain(self, timeout: float) -> bool:  # a bound that the caller reports on
        """Wait until all is published; false after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._empty.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Stop sending; what waits is lost."""
        for lane in self._lanes:
            await lane.close()

    def settle(self, job: Job) -> None:
        """Take a job off the books."""
        self.count -= 1
        self.size -= job.cost
        if not self.count:
            self._empty.set()

    def _account(self, job: Job) -> None:
        self.count += 1
        self.size += job.cost
        self._empty.clear()

    def _lane(self, job: Job) -> Lane:
        return self._lanes[0] if len(self._lanes) == 1 else self._lanes[self._layer.shard(job.routed.group).index]


class Lane:
    """The messages for one Redis: sent and unanswered, failed, and waiting, each oldest first."""

    def __init__(self, shard: Shard, outbox: Outbox) -> None:
        self.waiting: deque[Job] = deque()
        self._inflight: deque[Job] = deque()
        self._failed: list[Job] = []
        self._shard = shard
        self._outbox = outbox
        self._task: asyncio.Task[None] | None = None
        self._pause = 0.0

    def submit(self, job: Job) -> None:
        """Send at once when nothing is in the way."""
        if self.flowing:
            self._send(job)
        elif job.source == "stream":
            self._fail(job, Failure("unavailable", "Redis is away, or others wait for it"))
        else:
            self.waiting.append(job)
            self.wake()

    @property
    def flowing(self) -> bool:
        """Whether nothing is in the way of a message."""
        return self._task is None and not self.waiting and self._outbox.permitted() and self._shard.up

    def wake(self) -> None:
        """Have a task send what waits as soon as that is possible."""
        if self._task is None and self._outbox.permitted():
            self._task = asyncio.get_running_loop().create_task(self._work(), name="bridge-lane")

    def surrender(self) -> list[Job]:
        """Give back what is not in Redis' hands."""
        jobs = [*self._failed, *self.waiting]
        self._failed.clear()
        self.waiting.clear()
        return jobs

    def oldest(self) -> float | None:
        """Return when the oldest message of this lane was received."""
        heads = [queue[0].received for queue in (self._inflight, self._failed, self.waiting) if queue]
        return min(heads, default=None)

    async def close(self) -> None:
        """Stop the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _send(self, job: Job) -> None:
        routed = job.routed
        job.run_id = self._shard.link.run_id
        job.sent = time.monotonic()
        self._inflight.append(job)
        self._shard.publish(
            routed.group,
            routed.text,
            partial(self._answered, job),
            routed.dedupe_id,
            None if job.lasting_id else RETRY_WINDOW,
        )

    def _answered(self, job: Job, reply: Any) -> None:
        if self._inflight[0] is job:
            self._inflight.popleft()
        else:
            self._inflight.remove(job)
        if isinstance(reply, Published):
            self._outbox.settle(job)
            job.done(job, reply)
            return
        metrics.errors.inc("redis")
        refused = not isinstance(reply, Unavailable)
        if refused:
            job.tries += 1
            logger.warning("redis refused a message", extra={"error": str(reply), "tries": job.tries})
        if job.source == "stream":
            self._fail(job, Failure("redis" if refused else "unavailable", str(reply), blame=refused))
            return
        self._pause = _ERROR_PAUSE if refused else 0.0
        self._failed.append(job)
        self.wake()

    def _fail(self, job: Job, failure: Failure) -> None:
        self._outbox.settle(job)
        job.done(job, failure)

    async def _work(self) -> None:
        """Send again what failed, then what waits, until nothing does."""
        try:
            while (self._failed or self.waiting) and self._outbox.permitted():
                await self._shard.connected()
                if self._inflight:
                    await asyncio.sleep(0.005)
                    continue
                if self._pause:
                    await asyncio.sleep(self._pause)
                    self._pause = 0.0
                self._requeue_failed()
                await self._send_waiting()
        finally:
            self._task = None

    def _requeue_failed(self) -> None:
        failed, self._failed = self._failed, []
        for job in reversed(failed):
            failure = self._verdict(job)
            if failure is None:
                self.waiting.appendleft(job)
            else:
                self._fail(job, failure)

    def _verdict(self, job: Job) -> Failure | None:
        if job.tries >= MAX_TRIES:
            return Failure("redis", "Redis refused the message")
        now = time.monotonic()
        if now - job.received > MAX_AGE or (not job.lasting_id and now - job.sent > _LAST_RETRY):
            return Failure("expired", "Redis was away for too long")
        if job.run_id != self._shard.link.run_id and not self._outbox.trust_persistence:
            return Failure("restarted", "Redis restarted before it had confirmed the message")
        return None

    async def _send_waiting(self) -> None:
        while self.waiting and not self._failed and self._shard.up and self._outbox.permitted():
            for _ in range(min(_CHUNK, len(self.waiting))):
                self._send(self.waiting.popleft())
            await asyncio.sleep(0)
