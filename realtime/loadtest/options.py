"""What a load test does, and what it may show at worst."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

SCENARIOS: Final = ("broadcast", "unicast", "room")


class LoadTestError(Exception):
    """The test cannot run: wrong options, or a gateway that lets nobody in. The message is for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """One load test; times in seconds, rates per second, sizes in bytes."""

    url: str
    clients: int = 100
    ramp: float = 0.0
    duration: float = 10.0
    rate: float = 10.0
    scenarios: tuple[str, ...] = SCENARIOS
    redis_url: str = ""
    token: str = ""
    size: int = 300
    room_size: int = 20
    concurrency: int = 64
    timeout: float = 30.0
    insecure: bool = False
    max_loss: float | None = None
    max_p99: float | None = None
    max_duplicates: int | None = None
    max_reordered: int | None = None
    max_failed: int | None = 0
    json: Path | None = None
    html: Path | None = None

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise LoadTestError(problem)


def _problem(options: LoadOptions) -> str:
    parts = urlsplit(options.url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        return f"not a WebSocket URL like ws://127.0.0.1:8080/ws: {options.url!r}"
    unknown = sorted(set(options.scenarios) - set(SCENARIOS))
    if unknown:
        return f"unknown scenario(s) {', '.join(unknown)}; known are {', '.join(SCENARIOS)}"
    for name in ("clients", "duration", "rate", "room_size", "concurrency", "timeout"):
        if getattr(options, name) <= 0:
            return f"--{name.replace('_', '-')} must be above 0"
    if "broadcast" in options.scenarios and not options.redis_url:
        return "the broadcast scenario publishes in Redis: give --redis-url, or --scenarios unicast,room"
    if options.scenarios == ("unicast",) and not options.redis_url and options.clients < 2:
        return "unicast without --redis-url is chat between clients: give at least two of them"
    return ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a load test; ``options_from`` reads them back."""
    parser.add_argument("url", help="WebSocket URL of the gateway, such as ws://127.0.0.1:8080/ws")
    load = parser.add_argument_group("load")
    load.add_argument("--clients", type=int, default=100, help="connections to open (%(default)s)")
    load.add_argument("--ramp", type=float, default=0.0, help="connects a second (default: as fast as it goes)")
    load.add_argument("--concurrency", type=int, default=64, help="handshakes at once (%(default)s)")
    load.add_argument("--duration", type=float, default=10.0, help="seconds per scenario (%(default)s)")
    load.add_argument("--rate", type=float, default=10.0, help="messages a second (%(default)s)")
    load.add_argument("--size", type=int, default=300, help="bytes per message, about (%(default)s)")
    load.add_argument("--scenarios", help=f"out of {','.join(SCENARIOS)} (default: all; without Redis unicast,room)")
    load.add_argument("--room-size", type=int, default=20, help="members per room (%(default)s)")
    load.add_argument("--redis-url", default="", help="publish in this Redis; without it clients send to each other")
    access = parser.add_argument_group("access")
    access.add_argument("--token", default="", help="one bearer token for all clients")
    access.add_argument("--jwt-key", default="", help="HS256 key: every client is a user of its own")
    access.add_argument("--insecure", action="store_true", help="do not check the TLS certificate")
    access.add_argument("--timeout", type=float, default=30.0, help="seconds for one connect (%(default)s)")
    limits = parser.add_argument_group("limits", "Passing one of them makes the exit code 1.")
    limits.add_argument("--max-loss", type=float, metavar="PERCENT", help="deliveries that never came")
    limits.add_argument("--max-p99", type=float, metavar="MS", help="99th percentile of the latency, any scenario")
    limits.add_argument("--max-duplicates", type=int, metavar="N")
    limits.add_argument("--max-reordered", type=int, metavar="N")
    limits.add_argument("--max-failed", type=int, metavar="N", default=0, help="connects that failed (%(default)s)")
    output = parser.add_argument_group("output")
    output.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    output.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots, in one file")


def options_from(given: Mapping[str, Any]) -> LoadOptions:
    """Build the options from parsed arguments; raises ``LoadTestError``."""
    known = {field.name for field in fields(LoadOptions)}
    values = {name: value for name, value in given.items() if name in known and name != "scenarios"}
    if given.get("scenarios"):
        values["scenarios"] = tuple(given["scenarios"].split(","))
    else:
        values["scenarios"] = SCENARIOS if given.get("redis_url") else SCENARIOS[1:]
    return LoadOptions(**values)
