"""One peer from start to stop: the measures in their order."""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Self

import psutil

from tests.benchmarks.history import history_cpu
from tests.benchmarks.load import RemoteLoad
from tests.benchmarks.options import Options
from tests.benchmarks.peers import Peer, Running
from tests.benchmarks.processes import Server

_WARM_UP: Final = 50
_SETTLE: Final = 1.0
_GROWTH_ROUNDS: Final = 5
_SAMPLE: Final = 0.05
_PAUSE: Final = 0.1
_CALM: Final = 0.1
"""Share of a round that the server may have waited for its core."""
_MOST_ROUNDS: Final = 4


@dataclass(slots=True)
class Bench:
    """Measures of one running peer; ``figures`` fills up, in base units (seconds, bytes, shares)."""

    peer: Peer
    running: Running
    load: RemoteLoad
    probe: RemoteLoad
    options: Options
    say: Callable[[str], None]
    figures: dict[str, float] = field(default_factory=dict)
    growth: dict[int, dict[str, float]] = field(default_factory=dict)
    """By number of connections: ``connect_cpu``, ``broadcast_cpu``, ``rss``."""
    _base_rss: int = 0
    _connected: int = 0
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def run(self) -> None:
        """Run every measure that the peer has a counterpart for."""
        self._warm_up()
        for size in self.options.stages(self.peer.name):
            self._stage(size)
        self._compare_growth()
        self.load.call("close")
        self.probe.call("close")
        if "rooms" not in self.peer.lacks:
            self._rooms()
        if "bridge" not in self.peer.lacks:
            self._bridge()
        if self.peer.keeps_history:
            self._history()
        if "slow_reader" not in self.peer.lacks:
            self._slow_reader()

    def _warm_up(self) -> None:
        self.load.call("connect", count=_WARM_UP)
        self._round()
        self.load.call("close")
        if "unicast" not in self.peer.lacks:
            self.probe.call("connect", count=self.options.probes, addressed=True)
        time.sleep(_SETTLE)
        self._base_rss = self.running.server.usage().rss

    def _stage(self, size: int) -> None:
        """Connect up to ``size``; at the run's own number of connections take every figure."""
        main = size == self.options.connections
        stage = self._connect(size)
        stage |= self._broadcast(self.options.rounds if main else _GROWTH_ROUNDS, main=main)
        self.growth[size] = stage
        if size == 10_000:
            self.figures["rss_10000"] = stage["rss"]
        if not main:
            return
        self.figures |= stage
        self._idle()
        if "unicast" not in self.peer.lacks:
            self._unicast()

    def _connect(self, size: int) -> dict[str, float]:
        count = size - self._connected
        cpu, answer = self._cpu_of(self.running.server, self.load, "connect", count=count)
        self._connected = size
        if answer["failures"]:
            self.say(f"connections failed: {answer['failures']}")
        time.sleep(_SETTLE)
        rss = (self.running.server.usage().rss - self._base_rss) / size
        self.say(f"{size} connected, {answer['rate']:,.0f}/s, {rss / 1024:.1f} KB each")
        self._count_lost(count - answer["opened"])
        return {"connect_rate": answer["rate"], "connect_cpu": cpu / count, "rss": rss}

    def _broadcast(self, rounds: int, *, main: bool) -> dict[str, float]:
        """Broadcast ``rounds`` times; figures are medians of the half in which the server waited least for its core.

        What else runs on the machine disturbs a round now and then, and says nothing about the server. On a busy
        machine there are up to four times as many rounds, until half of ``rounds`` were calm.
        """
        done = [self._round() for _ in range(rounds)]
        half = (rounds + 1) // 2
        while len(done) < _MOST_ROUNDS * rounds and sum(each["waited"] < _CALM for each in done) < half:
            done.append(self._round())
        calm = sorted(done, key=lambda figures: figures["waited"])[:half]
        figures = {name: statistics.median(each[name] for each in calm) for name in calm[0]}
        deliveries = sum(each["deliveries"] for each in done) + self._probes * len(done)
        stage = {"broadcast_cpu": sum(each["cpu"] for each in done) / max(1, deliveries)}
        if main:
            self.say(f"broadcast: {figures['rate']:,.0f} deliveries/s, last after {figures['last'] * 1000:.1f} ms")
            stage |= {f"broadcast_{name}": figures[name] for name in ("rate", "first", "p50", "p99", "last")}
            stage |= {name: figures[name] for name in ("client_share", "waited")}
        return stage

    def _round(self) -> dict[str, float]:
        before = self.running.server.usage()
        answer = self.load.call("broadcast", number=next(self._numbers))
        time.sleep(_PAUSE)
        after = self.running.server.usage()
        self._count_lost(answer["lost"])
        return answer | {"cpu": after.cpu - before.cpu, "waited": (after.waited - before.waited) / answer["last"]}

    @property
    def _probes(self) -> int:
        return 0 if "unicast" in self.peer.lacks else self.options.probes

    def _idle(self) -> None:
        before, begun = self.running.server.usage().cpu, time.perf_counter()
        time.sleep(self.options.idle)
        self.figures["idle_cpu"] = (self.running.server.usage().cpu - before) / (time.perf_counter() - begun)
        self.say(f"idle: {self.figures['idle_cpu']:.1%} of a core")

    def _unicast(self) -> None:
        arguments = {"count": self.options.unicasts, "rate": self.options.unicast_rate}
        idle = self.probe.call("unicast", **arguments)
        self.load.call("keep_broadcasting")
        busy = self.probe.call("unicast", **arguments)
        broadcasts = self.load.call("stop_broadcasting")
        for prefix, answer in (("unicast", idle), ("unicast_busy", busy)):
            self.figures |= {f"{prefix}_{name}": answer[name] for name in ("p50", "p99", "max")}
            self.say(f"{prefix}: p50 {answer['p50'] * 1000:.2f} ms, p99 {answer['p99'] * 1000:.2f} ms")
        self._count_lost(idle["lost"] + busy["lost"] + broadcasts["lost"])

    def _rooms(self) -> None:
        options = self.options
        sizes = {"count": options.room_count, "members": options.room_members, "seconds": options.room_seconds}
        self._warm_rooms()
        cpu, answer = self._cpu_of(self.running.server, self.load, "rooms", **sizes)
        self.figures |= {"room_rate": answer["rate"], "room_messages": answer["messages"]}
        self.figures["room_cpu"] = cpu / max(1, answer["deliveries"])
        self.figures["room_client_share"] = answer["client_share"]
        self.say(f"rooms: {answer['rate']:,.0f} deliveries/s of {answer['messages']:,.0f} messages/s")
        self._count_lost(answer["lost"])

    def _warm_rooms(self) -> None:
        self.load.call("rooms", count=1, members=2, seconds=0.2)

    def _bridge(self) -> None:
        options, running = self.options, self.running
        self.load.call("connect", count=options.bridge_users, addressed=True)
        self.load.call("bridge", users=options.bridge_users, messages=options.bridge_users)
        valkey = psutil.Process(running.valkey.pid)
        before = [_cpu(running.server), _cpu(running.bridge), sum(valkey.cpu_times()[:2])]
        answer = self.load.call("bridge", users=options.bridge_users, messages=options.bridge_messages)
        after = [_cpu(running.server), _cpu(running.bridge), sum(valkey.cpu_times()[:2])]
        server, bridge, redis = (
            (end - start) / options.bridge_messages for start, end in zip(before, after, strict=True)
        )
        self.figures |= {
            "bridge_rate": answer["rate"],
            "bridge_cpu": server,
            "bridge_client_share": answer["client_share"],
        }
        if running.bridge is not None:
            self.figures["bridge_own_cpu"] = bridge
        if running.route.publish.startswith("redis"):
            self.figures["valkey_cpu"] = redis
        self.say(f"bridge: {answer['rate']:,.0f} messages/s to {options.bridge_users} users")
        self._count_lost(answer["lost"] + answer["reordered"] + answer["duplicates"])
        self.load.call("close")

    def _history(self) -> None:
        """Set the CPU that keeps the history against the CPU of the whole path without it, per message."""
        spent = history_cpu(self.running.valkey, messages=self.options.bridge_messages)
        path = sum(self.figures[name] for name in ("bridge_cpu", "bridge_own_cpu", "valkey_cpu"))
        self.figures |= {"history_cpu": spent, "history_share": spent / max(path - spent, 1e-9)}
        self.say(f"history: {spent * 1e6:.1f} of {path * 1e6:.1f} µs per message")

    def _slow_reader(self) -> None:
        with _PeakMemory(self.running.server) as memory:
            answer = self.load.call("slow_reader", megabytes=self.options.slow_megabytes)
        self.figures |= {
            "slow_growth": float(memory.growth),
            "slow_cut": float(answer["cut_with"]),
            "slow_lost": answer["lost"] + answer["reordered"],
        }
        self.say(f"slow reader: memory +{memory.growth / 1e6:.1f} MB, closed with {answer['cut_with']}")

    def _compare_growth(self) -> None:
        small, large = min(self.growth), max(self.growth)
        if large < 10 * small:
            return
        for name in ("delivery", "connect"):
            key = "broadcast_cpu" if name == "delivery" else "connect_cpu"
            self.figures[f"growth_{name}"] = self.growth[large][key] / self.growth[small][key]

    def _count_lost(self, count: float) -> None:
        self.figures["lost"] = self.figures.get("lost", 0) + count

    def _cpu_of(self, server: Server, load: RemoteLoad, command: str, **arguments: Any) -> tuple[float, dict[str, Any]]:
        before = server.usage().cpu
        answer = load.call(command, **arguments)
        return server.usage().cpu - before, answer


def _cpu(server: Server | None) -> float:
    return server.usage().cpu if server is not None else 0.0


class _PeakMemory:
    """Watches a server's resident memory from a thread; ``growth`` is the most it grew, in bytes."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._start = server.usage().rss
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.growth = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._end.wait(_SAMPLE):
            self.growth = max(self.growth, self._server.usage().rss - self._start)
