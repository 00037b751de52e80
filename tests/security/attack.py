"""Attacks of many kinds beside clients that keep to the rules: ``python -m tests.security.attack --seconds 60``.

A gateway, a bridge and a Valkey of their own are started. First the well-behaved clients are alone, then the attackers
(a process of their own, ``tests.security.attackers``) set in, then they are gone again. The report says what the
well-behaved ones lost, how long their messages took in each phase, and what became of the gateway's memory.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import redis.asyncio

from tests.integration.programs import ROOT, Program, manage
from tests.integration.serving import upgrade_request
from tests.integration.stack import Gateway, Stack, make_token, production_environment
from tests.security.observing import limit_hits, tracebacks

_TICK = 0.05


class Neighbour(asyncio.Protocol):
    """A client that keeps to the rules: reads at once, answers pings, and notes each message's number and age."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.numbers: dict[str, list[int]] = {"broadcast": [], "user": []}
        self.ages: list[float] = []
        self.welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost = False
        self._data = b""
        self._open = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(upgrade_request("/ws", f"Authorization: Bearer {make_token(self.name)}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if not self.welcomed.done():
            self.welcomed.set_exception(ConnectionError("not welcomed"))

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._open:
            _, end, self._data = self._data.partition(b"\r\n\r\n")
            self._open = bool(end)
        while (frame := self._frame()) is not None:
            first, payload = frame
            if first == 0x89:
                self.transport.write(bytes((0x8A, 0x80 | len(payload))) + bytes(4) + payload)
            elif first == 0x81:
                self._message(payload)

    def _frame(self) -> tuple[int, bytes] | None:
        data = self._data
        if len(data) < 4:
            return None
        size, at = data[1], 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        if len(data) < at + size:
            return None
        self._data = data[at + size :]
        return data[0], data[at : at + size]

    def _message(self, text: bytes) -> None:
        if b'"data_update"' in text:
            content = json.loads(text)["content"]
            if "number" in content:
                self.numbers[content["to"]].append(content["number"])
                self.ages.append(time.time() - content["at"])
        elif b'"welcome"' in text and not self.welcomed.done():
            self.welcomed.set_result(None)


@dataclass
class Report:
    """What was seen; times in milliseconds, sizes in bytes."""

    seconds: float
    clients: int
    messages: int = 0
    lost: int = 0
    doubled: int = 0
    cut: int = 0
    quiet_p50: float = 0.0
    quiet_p99: float = 0.0
    attack_p50: float = 0.0
    attack_p99: float = 0.0
    memory_before: int = 0
    memory_peak: int = 0
    memory_after: int = 0
    tracebacks: int = 0
    attacks: dict[str, int] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)


class Crowd:
    """The well-behaved clients and what is published to them."""

    def __init__(self, stack: Stack, size: int) -> None:
        self.stack = stack
        self.neighbours = [Neighbour(f"neighbour-{number}") for number in range(size)]
        self.broadcasts = 0
        self.to_user: dict[str, int] = {}

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        for start in range(0, len(self.neighbours), 50):
            batch = self.neighbours[start : start + 50]
            for one in batch:
                await loop.create_connection(lambda one=one: one, "127.0.0.1", self.stack.gateway.port)
            await asyncio.gather(*(one.welcomed for one in batch))

    async def publish(self, seconds: float) -> None:
        """Publish four broadcasts and forty messages to single users a second."""
        end = time.monotonic() + seconds
        turn = 0
        async with redis.asyncio.Redis.from_url(self.stack.redis_url) as client:
            while time.monotonic() < end:
                turn += 1
                if turn % 5 == 0:
                    await client.publish("websocket:broadcast", self._text("broadcast", self.broadcasts))
                    self.broadcasts += 1
                for _ in range(2):
                    name = self.neighbours[(turn * 7) % len(self.neighbours)].name
                    number = self.to_user.get(name, 0)
                    self.to_user[name] = number + 1
                    await client.publish(f"websocket:user:{name}", self._text("user", number))
                await asyncio.sleep(_TICK)
        await self.arrived()

    def _text(self, to: str, number: int) -> str:
        return json.dumps({"type": "data_update", "content": {"to": to, "number": number, "at": time.time()}})

    async def arrived(self, patience: float = 15.0) -> None:
        """Wait until everyone has everything, or no longer."""
        end = time.monotonic() + patience
        while time.monotonic() < end and self.missing():
            await asyncio.sleep(0.1)

    def missing(self) -> int:
        return sum(self.broadcasts - len(set(one.numbers["broadcast"])) for one in self.neighbours) + sum(
            self.to_user.get(one.name, 0) - len(set(one.numbers["user"])) for one in self.neighbours
        )

    def received(self) -> int:
        return sum(len(numbers) for one in self.neighbours for numbers in one.numbers.values())

    def doubled(self) -> int:
        return sum(len(n) - len(set(n)) for one in self.neighbours for n in one.numbers.values())

    def take_ages(self) -> list[float]:
        """Return the ages of all messages since the last call, sorted."""
        ages = sorted(age for one in self.neighbours for age in one.ages)
        for one in self.neighbours:
            one.ages.clear()
        return ages


def resident(pid: int) -> int:
    """Return a process' resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def percentile(values: list[float], share: float) -> float:
    """Return a percentile of sorted seconds as milliseconds."""
    return round(values[min(len(values) - 1, int(len(values) * share))] * 1000, 2) if values else 0.0


async def _watch_memory(pid: int, report: Report) -> None:
    while True:
        report.memory_peak = max(report.memory_peak, resident(pid))
        await asyncio.sleep(0.25)


def _attackers(gateway: Gateway, seconds: float, scale: float) -> Program:
    arguments = [str(gateway.port), str(seconds), str(scale)]
    return Program(
        "attackers", [sys.executable, "-m", "tests.security.attackers", *arguments], {"PYTHONPATH": str(ROOT)}
    )


async def attack(stack: Stack, *, seconds: float, clients: int, scale: float = 1.0, quiet: float = 15.0) -> Report:
    """Run the three phases against a deployment with one gateway."""
    report = Report(seconds=seconds, clients=clients)
    gateway, crowd = stack.gateway, Crowd(stack, clients)
    await crowd.connect()
    # A rehearsal: what every process needs once is not put down to the attack.
    await _siege(gateway, crowd, min(5.0, seconds), scale)
    await crowd.publish(2.0)
    crowd.take_ages()
    gc.collect()
    await crowd.publish(quiet)
    ages = crowd.take_ages()
    report.quiet_p50, report.quiet_p99 = percentile(ages, 0.5), percentile(ages, 0.99)
    report.memory_before = report.memory_peak = resident(gateway.pid)
    watch = asyncio.create_task(_watch_memory(gateway.pid, report))
    report.attacks = await _siege(gateway, crowd, seconds, scale)
    ages = crowd.take_ages()
    report.attack_p50, report.attack_p99 = percentile(ages, 0.5), percentile(ages, 0.99)
    watch.cancel()
    await crowd.publish(min(quiet, 8.0))
    report.memory_after = resident(gateway.pid)
    _count(report, stack, crowd)
    return report


def _count(report: Report, stack: Stack, crowd: Crowd) -> None:
    report.messages, report.lost, report.doubled = crowd.received(), crowd.missing(), crowd.doubled()
    report.cut = sum(one.lost for one in crowd.neighbours)
    report.tracebacks = len(tracebacks(stack))
    names = ("message_rate", "frame_rate", "rate_strikes", "message_size", "write_buffer", "header_size", "header_time")
    report.limits = {name: hits for name in names if (hits := limit_hits(stack.gateway, name))}
    for one in crowd.neighbours:
        one.transport.close()


async def _siege(gateway: Gateway, crowd: Crowd, seconds: float, scale: float) -> dict[str, int]:
    program = _attackers(gateway, seconds, scale).start()
    try:
        await crowd.publish(seconds)
        await asyncio.to_thread(program.wait, 60)
        lines = program.log.strip().splitlines()
        found: Mapping[str, int] = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
        return dict(found)
    finally:
        program.close()


def migrated(path: Path) -> Path:
    """Make an SQLite file with all migrations, and nothing left in its write-ahead log."""
    env = production_environment(DATABASE_URL=f"sqlite:///{path}")
    manage("migrate", "--verbosity", "0", env=env)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def main() -> None:
    """Run the whole thing and print the report as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--scale", type=float, default=1.0, help="more or fewer attackers")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        database = migrated(directory / "migrated.sqlite3")
        (directory / "stack").mkdir()
        stack = Stack(directory / "stack", database)
        try:
            stack.start()
            report = asyncio.run(attack(stack, seconds=options.seconds, clients=options.clients, scale=options.scale))
        finally:
            stack.close()
    print(json.dumps(asdict(report), indent=2))


if __name__ == "__main__":
    main()
