"""One load test from the first connect to the last message."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from realtime.loadtest.crowd import Client, Crowd, Dial
from realtime.loadtest.histogram import Histogram
from realtime.loadtest.marks import find_mark
from realtime.loadtest.options import LoadOptions, LoadTestError
from realtime.loadtest.progress import Progress
from realtime.loadtest.results import LoadResult, ScenarioResult, Second
from realtime.loadtest.scenarios import ALL, Scenario, Stage
from realtime.loadtest.tally import Tally

Mint = Callable[[str], str]
"""Makes the bearer token of a user id."""

_DRAIN: Final = 3.0
"""Nothing new for so many seconds means that the rest is lost."""
_STEP: Final = 0.05


async def run(options: LoadOptions, *, mint: Mint | None, progress: Progress) -> LoadResult:
    """Connect, run every scenario, and return what was seen; raises ``LoadTestError`` when nobody gets in."""
    name = secrets.token_hex(4)
    crowd = Crowd(_dialler(options, mint, name), timeout=options.timeout, tls=_tls(options))
    redis = await _redis(options)
    try:
        result = await _connect(crowd, options, progress)
        for scenario in options.scenarios:
            stage = Stage(crowd=crowd, options=options, redis=redis, run=f"{name}{scenario}", tally=Tally())
            result.scenarios.append(await _Round(ALL[scenario](stage), scenario, progress).run())
        result.closed = crowd.closed
        return result
    finally:
        await crowd.close()
        if redis is not None:
            await redis.aclose()


def _dialler(options: LoadOptions, mint: Mint | None, run: str) -> Callable[[int], Dial]:
    def dial(index: int) -> Dial:
        user = f"loadtest-{run}-{index}" if mint is not None and not options.token else ""
        token = options.token or (mint(user) if mint is not None else "")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return Dial(url=options.url, headers=headers, user_id=user)

    return dial


def _tls(options: LoadOptions) -> ssl.SSLContext | None:
    if not options.url.startswith("wss:"):
        return None
    context = ssl.create_default_context()
    if options.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _redis(options: LoadOptions) -> Redis | None:
    if not options.redis_url:
        return None
    try:
        client = Redis.from_url(options.redis_url, socket_connect_timeout=5, socket_timeout=10)
        await client.ping()
    except (RedisError, ValueError) as error:
        raise LoadTestError(f"Redis at --redis-url does not answer: {error}") from None
    return client


async def _connect(crowd: Crowd, options: LoadOptions, progress: Progress) -> LoadResult:
    """Open one connection, to fail early and clearly, then all others."""
    first = await crowd.connect(1)
    if not first.opened:
        raise LoadTestError(f"{options.url}: {next(iter(first.failures))}")
    connected = first
    if options.clients > 1:
        with progress.phase("connect", options.clients - 1) as bar:
            connected = await crowd.connect(
                options.clients - 1,
                concurrency=options.concurrency,
                rate=options.ramp,
                progress=lambda state: bar.update(state.opened, f"{state.rate:,.0f}/s"),
            )
        connected.opened += 1
    return LoadResult(
        url=options.url,
        clients=options.clients,
        connected=connected.opened,
        connect_seconds=connected.seconds,
        connect_latency=connected.latency,
        failures=connected.failures,
        closed=Counter(),
    )


class _Round:
    """One scenario: sends at its rate, listens, and waits for the rest."""

    def __init__(self, scenario: Scenario, name: str, progress: Progress) -> None:
        self._scenario = scenario
        self._stage = scenario.stage
        self._name = name
        self._progress = progress
        self._run = self._stage.run.encode()
        self._latency = Histogram()
        self._timeline: list[Second] = []
        self._errors: Counter[str] = Counter()
        self._begun = 0.0
        self._heard = 0.0

    async def run(self) -> ScenarioResult:
        await self._scenario.prepare()
        self._stage.crowd.on_message = self._receive
        self._begun = self._heard = time.perf_counter()
        sent = await self._send()
        await self._drain()
        return ScenarioResult(
            name=self._name,
            sent=sent,
            seconds=self._heard - self._begun,
            outcome=self._stage.tally.outcome(),
            latency=self._latency,
            timeline=self._timeline,
            errors=self._errors,
        )

    def _receive(self, client: Client, payload: bytes, at: float) -> None:
        mark = find_mark(payload)
        if mark is None:
            if b'"error"' in payload:
                self._errors[_error_code(payload)] += 1
            return
        if mark.run != self._run:
            return
        latency = at - mark.sent_ns / 1e9
        self._stage.tally.receive(client.index, mark.stream, mark.sequence)
        self._latency.add(latency)
        self._heard = at
        second = int(at - self._begun)
        while len(self._timeline) <= second:
            self._timeline.append(Second())
        self._timeline[second].deliveries += 1
        self._timeline[second].latency.add(latency)

    async def _send(self) -> int:
        options, sent = self._stage.options, 0
        with self._progress.phase(self._name, options.duration) as bar:
            while (elapsed := time.perf_counter() - self._begun) < options.duration:
                due = min(int(elapsed * options.rate) + 1, int(options.duration * options.rate))
                while sent < due:
                    await self._try_send()
                    sent += 1
                bar.update(elapsed, self._state())
                await asyncio.sleep(min(_STEP, 1 / options.rate))
            bar.update(options.duration, self._state())
        return sent

    async def _try_send(self) -> None:
        try:
            await self._scenario.send()
        except RedisError as error:
            raise LoadTestError(f"publishing in Redis failed: {error}") from None

    def _state(self) -> str:
        tally = self._stage.tally
        p99 = self._latency.percentile(99) * 1000
        return f"{tally.received:,}/{tally.expected:,} delivered, p99 {p99:.1f} ms"

    async def _drain(self) -> None:
        waiting_since = time.perf_counter()
        while not self._stage.tally.complete:
            if time.perf_counter() - max(self._heard, waiting_since) > _DRAIN:
                return
            await asyncio.sleep(_STEP)


def _error_code(payload: bytes) -> str:
    try:
        content: Any = json.loads(payload)["content"]
        return f"{content['code']} {content['message']}"
    except (ValueError, KeyError, TypeError):
        return "unreadable"
