"""Live traces: what is copied, to whom, and when it ends."""

from __future__ import annotations

import asyncio
import json
import time
from types import SimpleNamespace
from typing import Any

import pytest

from realtime.groups import room_group, user_group
from realtime.principal import Principal
from realtime.rooms import RoomPolicy
from realtime.sequencer import Item
from realtime.tracing import LIFETIME, Tracer


class Copies:
    """Stands for the layer: keeps what is published."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any]]] = []

    def publish_ephemeral(self, group: str, text: bytes) -> asyncio.Future[int]:
        self.sent.append((group, json.loads(text)["content"]))
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        future.set_result(1)
        return future


@pytest.fixture
async def copies() -> Copies:
    return Copies()


@pytest.fixture
async def tracer(copies: Copies) -> Tracer:
    return Tracer(SimpleNamespace(node="n1", layer=copies))  # type: ignore[arg-type]  # what a tracer needs of a hub


def event(**more: Any) -> dict[str, Any]:
    return {"trace": "t1", "until": time.time() + 60, **more}


def item(text: bytes = b'{"type":"system","content":1}') -> Item:
    return Item("e", 7, 1000, text)


def connection(user_id: str) -> Any:
    return SimpleNamespace(principal=SimpleNamespace(user_id=user_id), client_id="c1")


async def test_only_the_traced_group_is_copied_to_the_traces_room(tracer: Tracer, copies: Copies) -> None:
    tracer.start(event(room="chat:1"))
    tracer.outbound(room_group("chat:1"), item())
    tracer.outbound(room_group("chat:2"), item())
    [(group, content)] = copies.sent
    assert group == room_group("admin:trace:t1")
    assert (content["way"], content["offset"], content["message"]) == ("out", 7, {"type": "system", "content": 1})


async def test_what_a_traced_user_sends_is_copied_but_never_a_token(tracer: Tracer, copies: Copies) -> None:
    tracer.start(event(user_id="42"))
    tracer.inbound(connection("42"), b'{"type":"chat","to":"1","content":"hi"}')
    tracer.inbound(connection("42"), b'{"type":"refresh_token","content":{"token":"secret"}}')
    tracer.inbound(connection("43"), b'{"type":"ping"}')
    tracer.inbound(connection("42"), b"\xff not json")
    assert [content["message"] for _, content in copies.sent] == [
        {"type": "chat", "to": "1", "content": "hi"},
        {"type": "refresh_token", "content": "…"},
        "\ufffd not json",
    ]


async def test_a_trace_ends_at_its_time_and_by_order(
    tracer: Tracer, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    tracer.start(event(user_id="1", until=now + 10 * LIFETIME))
    tracer.start(event(user_id="2", trace="t2"))
    tracer.stop("t2")
    assert list(tracer.wanted) == [user_group("1")]
    monkeypatch.setattr(time, "time", lambda: now + LIFETIME + 1)
    tracer.outbound(user_group("1"), item())
    assert copies.sent == []
    assert tracer.wanted == {}


async def test_a_flood_is_thinned_and_counted(tracer: Tracer, copies: Copies, monkeypatch: pytest.MonkeyPatch) -> None:
    tracer.start(event(room="r"))
    now = time.time() // 1
    monkeypatch.setattr(time, "time", lambda: now)
    for _ in range(300):
        tracer.outbound(room_group("r"), item())
    monkeypatch.setattr(time, "time", lambda: now + 1)
    tracer.outbound(room_group("r"), item())
    assert len(copies.sent) == 201
    assert copies.sent[-1][1]["skipped"] == 100


def test_being_staff_does_not_open_the_room_of_a_trace() -> None:
    policy = RoomPolicy()
    staff = Principal(user_id="1", username="s", is_staff=True, expires_at=0, jti="j", rooms=None)
    holder = Principal(user_id="1", username="s", is_staff=True, expires_at=0, jti="j", rooms=("admin:trace:t1",))
    assert policy.can_join(staff, "admin:overview")
    assert not policy.can_join(staff, "admin:trace:t1")
    assert policy.can_join(holder, "admin:trace:t1")
    assert not policy.can_join(holder, "admin:trace:t2")
