"""Frames through any ASGI server's ``send``: in order, without a task unless it blocks, bounded."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from realtime.sockets import AsgiSocket, Cork
from tests.unit.realtime.doubles import RecordingSocket


class Server:
    """An ASGI server whose ``send`` can be made to block or fail."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.broken = False

    async def send(self, event: dict[str, Any]) -> None:
        if self.broken:
            raise OSError("gone")
        if not self.gate.is_set():
            await self.gate.wait()
        if self.broken:
            raise OSError("gone")
        self.events.append(event)

    @property
    def sent(self) -> list[Any]:
        return [event.get("text", event.get("code")) for event in self.events]


@pytest.fixture
async def server() -> Server:
    return Server()


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def push(socket: AsgiSocket, *texts: str) -> None:
    for text in texts:
        socket.send_frame(socket.make_frame(text.encode()))


async def test_a_send_that_does_not_block_is_done_at_once_and_without_a_task(server):
    socket = AsgiSocket(server.send, 1000)
    before = len(asyncio.all_tasks())
    push(socket, "a", "b")
    assert server.events == [{"type": "websocket.send", "text": "a"}, {"type": "websocket.send", "text": "b"}]
    assert len(asyncio.all_tasks()) == before
    assert socket.buffered_bytes == 0


async def test_a_send_that_blocks_keeps_the_order_of_what_comes_behind(server):
    socket = AsgiSocket(server.send, 1000)
    server.gate.clear()
    push(socket, "a", "b")
    await turns()
    push(socket, "c")
    assert server.sent == []
    assert socket.buffered_bytes == 2
    server.gate.set()
    await turns()
    push(socket, "d")
    assert server.sent == ["a", "b", "c", "d"]
    assert socket.buffered_bytes == 0


async def test_a_send_that_blocks_more_than_once_is_carried_to_its_end():
    events: list[str] = []

    async def send(event: dict[str, Any]) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
            await asyncio.get_running_loop().run_in_executor(None, lambda: None)
        events.append(event["text"])

    socket = AsgiSocket(send, 1000)
    push(socket, "a", "b")
    for _ in range(1000):
        await asyncio.sleep(0.001)
        if len(events) == 2:
            break
    assert events == ["a", "b"]


async def test_more_than_the_limit_behind_a_blocked_send_closes_with_1013(server):
    socket = AsgiSocket(server.send, 10)
    server.gate.clear()
    push(socket, "a", "12345", "67890", "x", "y")
    assert socket.closed
    server.gate.set()
    await turns()
    assert server.events[-1] == {"type": "websocket.close", "code": 1013, "reason": "slow consumer"}
    assert server.sent == ["a", 1013]


async def test_one_slow_client_does_not_hold_up_another(server):
    other = Server()
    server.gate.clear()
    slow, fast = AsgiSocket(server.send, 1000), AsgiSocket(other.send, 1000)
    push(slow, "a")
    push(fast, "a")
    assert other.sent == ["a"]
    server.gate.set()
    await turns()


async def test_a_close_goes_behind_what_is_queued_and_nothing_follows_it(server):
    socket = AsgiSocket(server.send, 1000)
    server.gate.clear()
    push(socket, "a", "b")
    socket.close(4401, "unauthorized")
    push(socket, "c")
    socket.close(1000)
    server.gate.set()
    await turns()
    assert server.sent == ["a", "b", 4401]


async def test_an_error_of_the_server_closes_quietly(server):
    socket = AsgiSocket(server.send, 1000)
    server.broken = True
    push(socket, "a", "b")
    socket.close(1000)
    assert socket.closed
    assert server.events == []


async def test_an_error_in_a_send_that_blocked_closes_quietly(server):
    socket = AsgiSocket(server.send, 1000)
    server.gate.clear()
    push(socket, "a", "b")
    server.broken = True
    server.gate.set()
    await turns()
    assert socket.closed
    assert server.events == []


async def test_a_cancelled_send_does_not_break_the_socket(server):
    socket = AsgiSocket(server.send, 1000)
    server.gate.clear()
    push(socket, "a")
    await turns()
    task = socket._task
    assert task is not None
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    server.gate.set()
    push(socket, "b")
    assert server.sent == ["b"]


# The cork


def test_a_cork_keeps_frames_in_order_and_passes_the_rest_on():
    socket = RecordingSocket()
    cork = Cork(socket, 1000)
    cork.send_frame(cork.make_frame(b"a"))
    cork.send_frame(cork.make_frame(b"b"))
    cork.pause_reading()
    assert (socket.frames, cork.frames, socket.paused) == ([], [b"a", b"b"], True)
    cork.resume_reading()
    cork.set_receiver(print)
    cork.close(4401, "why")
    assert (socket.paused, socket.receiver, socket.closed) == (False, print, (4401, "why"))
    socket.buffered_bytes = 7
    assert cork.buffered_bytes == 7


def test_a_cork_that_holds_too_much_closes_the_connection():
    socket = RecordingSocket()
    cork = Cork(socket, 10)
    cork.send_frame(cork.make_frame(b"12345678"))
    cork.send_frame(cork.make_frame(b"12345678"))
    cork.send_frame(cork.make_frame(b"1"))
    assert (cork.frames, socket.closed) == ([], (1013, "slow consumer"))


def test_a_cork_with_somebody_to_ask_lets_go_when_it_is_full():
    socket = RecordingSocket()
    cork = Cork(socket, 10)
    released = []
    cork.on_full = lambda: released.extend(cork.frames)
    for text in (b"12345678", b"9abcdefg"):
        cork.send_frame(cork.make_frame(text))
    assert (released, socket.closed) == ([b"12345678", b"9abcdefg"], None)
