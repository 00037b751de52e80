"""A bridge tells Redis, Prometheus and probes how it is."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from realtime import metrics
from realtime.bridge.health import HealthServer, Heartbeat

STATE = {
    "role": "active",
    "in_step": True,
    "lag": 0.5,
    "waiting": 1,
    "buffered": 2,
    "buffer_dropped": 0,
    "subscribed": True,
    "dropped": 0,
    "dead_letters": 3,
}


class FakeLink:
    def __init__(self, others: dict[bytes, bytes] | None = None) -> None:
        self.connected = asyncio.Event()
        self.connected.set()
        self.commands: list[tuple[Any, ...]] = []
        self.others = others or {}

    def execute(self, callback: Any, *args: Any) -> None:
        self.commands.append(args)
        callback({"HGETALL": self.others, "XLEN": 12}.get(args[0], 1))


def heartbeat_on(link: Any) -> Heartbeat:
    return Heartbeat(link, "b1")


async def test_the_report_in_redis_is_json_with_state_and_counters():
    link = FakeLink()
    heartbeat = heartbeat_on(link)
    heartbeat.counters.published = 5
    heartbeat.beat(**STATE)
    command, key, name, report = link.commands[0]
    assert (command, key, name) == ("HSET", "ginforge:{bridge}:seen", "b1")
    state = json.loads(report)
    assert state["id"] == "b1"
    assert state["role"] == "active"
    assert state["counters"]["published"] == 5
    assert abs(state["at"] - time.time()) < 60
    heartbeat.beat(**STATE)
    assert heartbeat.latest is not None
    assert heartbeat.latest.backlog == 12


async def test_a_bridge_that_has_no_role_yet_is_not_seen():
    link = FakeLink()
    heartbeat = heartbeat_on(link)
    heartbeat.beat(**STATE | {"role": "undecided"})
    assert link.commands == []


async def test_bridges_that_were_killed_long_ago_are_forgotten():
    now = time.time()
    reports: dict[bytes, Any] = {b"old": {"at": now - 3600}, b"new": {"at": now}, b"odd": [], b"b1": {"at": now}}
    link = FakeLink({name: json.dumps(report).encode() for name, report in reports.items()} | {b"bad": b"{"})
    heartbeat_on(link).beat(**STATE)
    assert {args[2] for args in link.commands if args[0] == "HDEL"} == {b"old", b"odd", b"bad"}


async def test_counters_reach_prometheus_once():
    def value() -> float:
        return metrics.bridge_messages._counter.labels("published")._value.get()

    heartbeat, before = heartbeat_on(FakeLink()), value()
    heartbeat.counters.published = 5
    heartbeat.beat(**STATE)
    heartbeat.counters.published = 7
    heartbeat.beat(**STATE)
    assert value() - before == 7


@pytest.mark.parametrize(("status", "code"), [("ok", 200), ("unavailable", 503)])
def test_readiness_is_told_to_probes_and_liveness_is_apart(status: str, code: int):
    server = HealthServer("127.0.0.1", 0, lambda: {"status": status})

    def get(path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    try:
        assert get("/readyz")[0] == code
        assert get("/healthz")[0] == 200
        assert get("/elsewhere")[0] == 404
        assert b"websocket_bridge_lag_seconds" in get("/metrics")[1]
    finally:
        server.close()
