"""Readiness: every probe is bounded, and says what is wrong without saying where."""

from __future__ import annotations

import asyncio
import json
import time

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from realtime import health
from realtime.health import DatabaseProbe, NotReady, check, describe


async def fine() -> None:
    """Find nothing wrong."""


async def test_a_part_is_ok_when_its_probe_returns() -> None:
    assert await check({"a": fine, "b": fine}) == {"a": "ok", "b": "ok"}


async def test_a_probe_that_hangs_is_cut_and_the_others_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBE_TIMEOUT", 0.05)

    async def hang() -> None:
        await asyncio.Event().wait()

    assert await check({"slow": hang, "fast": fine}) == {"slow": "does not answer in time", "fast": "ok"}


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotReady("no bridge is running"), "no bridge is running"),
        (RedisConnectionError("Error 111 connecting to secret.host:6379"), "not reachable (ConnectionError)"),
        (ConnectionRefusedError("10.0.0.7"), "not reachable (ConnectionRefusedError)"),
        (RuntimeError("password=x"), "failed (RuntimeError)"),
    ],
)
async def test_a_failure_names_no_address_and_no_secret(error: Exception, text: str) -> None:
    async def fail() -> None:
        raise error

    assert await check({"part": fail}) == {"part": text}


async def test_a_hanging_database_holds_one_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float] = []

    def hang() -> None:
        calls.append(time.monotonic())
        time.sleep(0.3)

    monkeypatch.setattr(health, "_query", hang)
    monkeypatch.setattr(health, "PROBE_TIMEOUT", 0.02)
    probe = DatabaseProbe()
    for _ in range(4):
        assert (await check({"database": probe}))["database"] == "does not answer in time"
    assert len(calls) == 1


@pytest.mark.parametrize("report", [b"", b"{}", b"[]", b"nonsense", b'{"at":null}', b'{"at":"x"}', b"\xff"])
def test_a_bridges_report_that_makes_no_sense_counts_as_never_seen(report: bytes) -> None:
    assert health._reported_at(report) == 0.0


def test_a_bridge_that_hears_nothing_counts_as_never_seen() -> None:
    assert health._reported_at(b'{"at":7,"subscribed":true}') == 7
    assert health._reported_at(b'{"at":7,"subscribed":false}') == 0


def test_the_body_names_every_missing_part() -> None:
    body = describe({"redis": "not reachable (TimeoutError)", "database": "ok", "bridge": "no bridge is running"})
    assert body["status"] == "unavailable"
    assert body["reason"] == "redis: not reachable (TimeoutError); bridge: no bridge is running"
    assert json.dumps(body)
