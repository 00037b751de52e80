"""The same application under other ASGI servers: plain Daphne and uvicorn (DESIGN 2.1)."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator

import pytest

from ginforge.embedded import free_port
from tests.integration.clients import Client
from tests.integration.programs import Program, wait_until
from tests.integration.stack import Stack, get, make_token

SERVERS = {
    "daphne": lambda port: ["daphne", "-b", "127.0.0.1", "-p", str(port), "ginforge.asgi:application"],
    "uvicorn": lambda port: ["uvicorn", "--host", "127.0.0.1", "--port", str(port), "ginforge.asgi:application"],
}


@pytest.fixture(params=SERVERS)
def port(request: pytest.FixtureRequest, stack: Stack) -> Iterator[int]:
    """Give the port of the application under another server, on the shared Redis."""
    number = free_port()
    command = [sys.executable, "-m", *SERVERS[request.param](number)]
    with Program(request.param, command, stack.env) as server:

        def ready() -> bool:
            assert server.alive, server.log[-3000:]
            return get(f"http://127.0.0.1:{number}/readyz")[0] == 200

        wait_until(ready, f"/readyz under {request.param}")
        yield number


async def test_other_servers_serve_the_same_application(port: int, stack: Stack):
    user, room = f"u-{uuid.uuid4().hex[:8]}", f"r-{uuid.uuid4().hex[:8]}"
    url = f"ws://127.0.0.1:{port}/ws?token={make_token(user)}"
    async with Client(url) as one, Client(stack.ws(user)) as elsewhere, Client(url) as two:
        assert one.messages[0]["type"] == "welcome"
        for client in (one, two, elsewhere):
            await client.join(room)
        with stack.redis() as redis:
            for number in range(200):
                redis.publish(f"websocket:user:{user}", b'{"type":"system","content":%d}' % number)
        for client in (one, two, elsewhere):
            await client.wait_for("system", 200)
            assert client.contents("system") == list(range(200))
        await one.ask(type="chat", to=user, content="c")
        await elsewhere.ask(type="room_message", room=room, content="r")
        for client in (one, two):
            await client.wait_for("chat")
            await client.wait_for("room_message")
        await one.send_raw("nonsense")
        assert (await one.wait_for("error"))[0]["content"]["code"] == 400
        assert (await one.ask(type="ping"))["type"] == "pong"
        position = one.streams["user"]
        await one.send(type="resume", content={"streams": {"user": position}})
        await one.wait_for("resumed")


async def test_other_servers_refuse_a_bad_token_and_a_binary_frame(port: int):
    async with Client(f"ws://127.0.0.1:{port}/ws?token=nonsense") as client:
        assert client.messages[0]["content"]["code"] == 401
        assert (await client.wait_closed())[0] == 4401
    async with Client(f"ws://127.0.0.1:{port}/ws?token={make_token('7')}") as client:
        await client.socket.send(b"\x00", text=False)
        await client.wait_closed()
