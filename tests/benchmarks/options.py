"""What a run measures, and how much of it."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.peers import PEERS

GROWTH = (1_000, 10_000, 11_000, 12_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Sizes of one run; times in seconds."""

    only: tuple[str, ...]
    connections: int
    growth: tuple[int, ...]
    """Further numbers of connections at which CPU and memory are taken, for ``growing`` peers."""
    growing: frozenset[str]
    rounds: int
    idle: float
    unicasts: int
    unicast_rate: float
    probes: int
    room_count: int
    room_members: int
    room_seconds: float
    bridge_users: int
    bridge_messages: int
    slow_megabytes: int
    out: Path
    cache: Path
    quick: bool
    docs: bool
    priority: bool

    def stages(self, peer: str) -> list[int]:
        """Return the numbers of connections to stop at, in order; the full number is one of them."""
        growth = self.growth if peer in self.growing else tuple(size for size in self.growth if size < self.connections)
        return sorted({self.connections, *growth})


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line; a wrong one ends the process with a usage message."""
    given = _parser().parse_args(arguments)
    only = tuple(given.only.split(",")) if given.only else tuple(PEERS)
    unknown = sorted(set(only) - set(PEERS))
    if unknown:
        raise SystemExit(f"unknown peer(s) {', '.join(unknown)}; known are {', '.join(PEERS)}")
    sizes = _quick() if given.quick else _full(given.growth)
    if given.connections:
        sizes["connections"] = given.connections
    return Options(
        **sizes,
        only=only,
        growing=frozenset(given.growing.split(",")),
        out=given.out,
        cache=given.cache,
        quick=given.quick,
        docs=given.docs,
        priority=given.priority,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", help=f"comma-separated peers out of {', '.join(PEERS)}")
    parser.add_argument("--connections", type=int, default=0, help="connections of the main figures (5000)")
    parser.add_argument("--growing", default="project,node", help="peers that are also measured at 1,000 to 12,000")
    parser.add_argument("--no-growth", dest="growth", action="store_false", help="leave the 12,000 connections out")
    parser.add_argument("--quick", action="store_true", help="check the harness: small numbers, meaningless figures")
    parser.add_argument("--docs", action="store_true", help="write the tables into docs/performance.md")
    parser.add_argument(
        "--priority", action="store_true", help="servers and load go before other work on this machine (needs root)"
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench"), help="where results, plot and logs go")
    cache = Path.home() / ".cache" / "ginforge-bench"
    parser.add_argument("--cache", type=Path, default=cache, help="where peers from npm and Debian are kept")
    return parser


def _full(growth: bool) -> dict[str, Any]:
    return {
        "connections": 5_000,
        "growth": GROWTH if growth else (),
        "rounds": 10,
        "idle": 20.0,
        "unicasts": 1_000,
        "unicast_rate": 200.0,
        "probes": 100,
        "room_count": 50,
        "room_members": 20,
        "room_seconds": 5.0,
        "bridge_users": 1_000,
        "bridge_messages": 50_000,
        "slow_megabytes": 200,
    }


def _quick() -> dict[str, Any]:
    return {
        "connections": 60,
        "growth": (),
        "rounds": 2,
        "idle": 0.5,
        "unicasts": 20,
        "unicast_rate": 100.0,
        "probes": 5,
        "room_count": 2,
        "room_members": 5,
        "room_seconds": 0.5,
        "bridge_users": 20,
        "bridge_messages": 200,
        "slow_megabytes": 2,
    }
