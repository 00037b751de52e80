"""One RESP3 connection to one Redis that carries commands and subscriptions, in order, and reconnects for ever.

Because replies and pub/sub messages share one connection, what Redis did first arrives first: a position read
behind a SUBSCRIBE is exact, and no message can slip between the two. Commands of one turn of the event loop leave
in one write. redis-py opens the connection (URL, TLS, AUTH, Sentinel); from then on the bytes are ours, because
its readers cost a task switch for every message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import hiredis
from channels_redis.utils import create_pool
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from realtime.codes import RealtimeError, RedisReplyError, Unavailable

logger = logging.getLogger(__name__)

Reply = Any
Callback = Callable[[Reply], None]
"""Gets the reply, or an exception object; runs while the input is parsed, so that its order is Redis' order."""

_READ_SIZE = 262_144
_PING_AFTER = 1.0
_BACKOFF_CAP = 2.0
_INCOMPLETE = object()


class LinkOwner(Protocol):
    """What a link tells its owner."""

    async def link_up(self, link: RedisLink) -> None:
        """Prepare a fresh connection (load scripts, subscribe again) before others may use it."""

    def link_down(self, link: RedisLink) -> None:
        """Note that the connection is gone; every pending command has failed."""

    def link_push(self, link: RedisLink, channel: bytes, data: bytes, pattern: bytes | None) -> None:
        """Take one pub/sub message."""


class RedisLink:
    """A pipelining, subscribing, self-healing connection; ``host`` is a channels-redis host mapping."""

    def __init__(
        self, host: dict[str, Any], owner: LinkOwner, *, connect_timeout: float = 2.0, timeout: float = 5.0
    ) -> None:
        self.connected = asyncio.Event()
        self.run_id = ""
        self._owner = owner
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._pool = self._make_pool(host)
        self._out: list[bytes] = []
        self._pending: deque[tuple[Callback, float]] = deque()
        self._confirmations: dict[bytes, list[Callback]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._flushing = False
        self._last_read = 0.0
        self._failures = 0
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._loop = asyncio.get_running_loop()

    def _make_pool(self, host: dict[str, Any]) -> ConnectionPool:
        options = {
            "protocol": 3,
            "socket_connect_timeout": self._connect_timeout,
            "socket_timeout": self._timeout,
            "socket_keepalive": True,
            "retry": Retry(NoBackoff(), 0),
        }
        pool: ConnectionPool = create_pool({**options, **host})
        return pool

    def start(self) -> None:
        """Connect in the background and stay connected."""
        if self._task is None:
            self._task = self._loop.create_task(self._run(), name="redis-link")

    async def close(self) -> None:
        """Disconnect for good; pending commands fail with ``Unavailable``."""
        task, self._task = self._task, None
        if task is not None:
            self._closed = True  # a task group that fails in this moment swallows the cancellation
            task.cancel()
            await asyncio.wait({task})

    # Commands

    def execute(self, callback: Callback, *args: str | bytes | float) -> None:
        """Send one command in this turn's batch; ``callback`` gets the reply or an exception."""
        if self._writer is None:
            callback(Unavailable("Redis is not connected"))
            return
        self._pending.append((callback, time.monotonic()))
        self._write(args)

    def call(self, *args: str | bytes | float) -> asyncio.Future[Reply]:
        """Send one command; the future raises ``Unavailable`` or ``RedisReplyError``."""
        future: asyncio.Future[Reply] = self._loop.create_future()
        self.execute(lambda reply: resolve(future, reply), *args)
        return future

    def subscribe(self, channel: bytes, callback: Callback, *, pattern: bool = False) -> None:
        """Subscribe; ``callback`` gets None once Redis has confirmed, or an exception."""
        if self._writer is None:
            callback(Unavailable("Redis is not connected"))
            return
        self._confirmations.setdefault(channel, []).append(callback)
        self._write(("PSUBSCRIBE" if pattern else "SUBSCRIBE", channel))

    def unsubscribe(self, channel: bytes) -> None:
        """Unsubscribe without waiting; unknown channels do no harm."""
        if self._writer is not None:
            self._write(("UNSUBSCRIBE", channel))

    def _write(self, args: tuple[str | bytes | int | float, ...]) -> None:
        self._out.append(hiredis.pack_command(args))  # type: ignore[arg-type]  # the stub means tuple[X, ...]
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._writer is not None and self._out:
            self._writer.write(b"".join(self._out))
        self._out.clear()

    @property
    def backlog(self) -> int:
        """Commands that wait for their reply."""
        return len(self._pending)

    # Connection

    async def _run(self) -> None:
        while not self._closed:
            try:
                await self._session()
            except (OSError, RedisError, RealtimeError, hiredis.HiredisError, TimeoutError) as error:
                self._failures += 1
                log = logger.warning if self._failures in (1, 5) or self._failures % 30 == 0 else logger.debug
                log("redis link lost: %s: %s", type(error).__name__, error)
            except Exception:
                self._failures += 1
                logger.exception("redis link broken by its user")  # what a callback raised must not end the link
            await asyncio.sleep(random.uniform(0.5, 1.0) * min(_BACKOFF_CAP, 0.05 * 2 ** min(self._failures, 10)))

    async def _session(self) -> None:
        connection = self._pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py
        try:
            async with asyncio.timeout(self._connect_timeout + 1):
                await connection.connect()
            reader, self._writer = connection._reader, connection._writer  # noqa: SLF001  # see the module's docstring
            if reader is None or self._writer is None:
                raise Unavailable("the connection was closed at once")
            self._last_read = time.monotonic()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(reader))
                group.create_task(self._watch())
                group.create_task(self._prepare())
        except* (OSError, RedisError, RealtimeError, hiredis.HiredisError, TimeoutError) as errors:
            raise _first(errors) from None
        finally:
            self._drop()
            with contextlib.suppress(Exception):
                await connection.disconnect(nowait=True)

    async def _prepare(self) -> None:
        self.run_id = await self._read_run_id()
        await self._owner.link_up(self)
        self.connected.set()
        self._failures = 0

    async def _read_run_id(self) -> str:
        info: bytes = await self.call("INFO", "server")
        for line in info.decode().splitlines():
            if line.startswith("run_id:"):
                return line.removeprefix("run_id:").strip()
        raise RedisReplyError("INFO server has no run_id")

    async def _read(self, reader: asyncio.StreamReader) -> None:
        parser = hiredis.Reader(replyError=RedisReplyError, notEnoughData=_INCOMPLETE)
        while data := await reader.read(_READ_SIZE):
            self._last_read = time.monotonic()
            parser.feed(data)
            while (reply := parser.gets()) is not _INCOMPLETE:
                if type(reply) is hiredis.PushNotification:
                    self._on_push(reply)
                else:
                    self._pending.popleft()[0](reply)
        raise Unavailable("Redis closed the connection")

    def _on_push(self, push: list[Any]) -> None:
        kind = push[0]
        if kind == b"message":
            self._owner.link_push(self, push[1], push[2], None)
        elif kind == b"pmessage":
            self._owner.link_push(self, push[2], push[3], push[1])
        elif kind in (b"subscribe", b"psubscribe"):
            for callback in self._confirmations.pop(push[1], ()):
                callback(None)

    async def _watch(self) -> None:
        """Find dead links: ping when it is quiet, give up when a reply is overdue."""
        while True:
            await asyncio.sleep(min(_PING_AFTER, self._timeout / 4))
            now = time.monotonic()
            if self._pending and now - self._pending[0][1] > self._timeout and now - self._last_read > self._timeout:
                raise Unavailable(f"no reply from Redis for {self._timeout:g} s")
            if now - self._last_read > _PING_AFTER:
                self.execute(_ignore, "PING")

    def _drop(self) -> None:
        was_up, self._writer = self._writer is not None, None
        self.connected.clear()
        self._out.clear()
        pending, self._pending = self._pending, deque()
        confirmations, self._confirmations = self._confirmations, {}
        error = Unavailable("the connection to Redis was lost")
        for callback, _ in pending:
            _fail(callback, error)
        for callbacks in confirmations.values():
            for callback in callbacks:
                _fail(callback, error)
        if was_up:
            self._owner.link_down(self)


def resolve(future: asyncio.Future[Any], reply: Reply) -> None:
    """Complete ``future`` with a reply or an exception object, unless its waiter is gone."""
    if future.done():
        return
    if isinstance(reply, BaseException):
        future.set_exception(reply)
    else:
        future.set_result(reply)


def _fail(callback: Callback, error: Unavailable) -> None:
    try:
        callback(error)
    except Exception:
        logger.exception("a callback failed")  # the others are waited for as well


def _ignore(reply: Reply) -> None:
    """Take a reply nobody waits for."""


def _first(errors: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
