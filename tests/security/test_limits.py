"""Every limit, set low: the answer that a client gets, the metric that counts it, and that others notice nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.integration.clients import Client
from tests.integration.programs import wait_until
from tests.integration.serving import Peer, upgrade_request
from tests.integration.stack import Gateway, Stack, make_token
from tests.security.observing import fresh, limit_hits

pytestmark = pytest.mark.integration

SMALL = {
    "max_message_size": 20_000,
    "max_payload_size": 20_100,
    "max_name_length": 40,
    "max_nesting": 8,
    "message_burst": 60,
    "byte_rate": 1000,
    "byte_burst": 50_000,
    "rate_strikes": 50,
    "max_rooms": 3,
    "max_user_connections": 2,
    "max_header_size": 2048,
    "handshake_timeout": 2,
    "max_pending_handshakes": 20,
    "write_limit": 65_536,
    "max_inbound_queue": 8,
}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, migrated_database: Any) -> Iterator[Stack]:
    """Two instances with low limits."""
    made = Stack(tmp_path_factory.mktemp("stack"), migrated_database, {"REALTIME": json.dumps(SMALL)})
    try:
        yield made.start(gateways=2)
    finally:
        made.close()


@pytest.fixture
async def bystander(small: Stack):
    """One who keeps to the rules all along."""
    async with Client(small.ws(fresh("bystander"))) as client:
        yield client
        assert (await client.ask(type="ping"))["type"] == "pong"
        assert client.closed is None
    assert "Traceback" not in small.gateway.log


@pytest.fixture
def hits(small: Stack):
    """Give ``hits(limit)``: how often it was reached on the first instance since the test began."""
    names = [
        *("rooms", "nesting", "name_length", "id_length", "message_rate", "byte_rate", "rate_strikes", "message_size"),
        *("payload_size", "user_connections", "header_size", "header_time", "pending_handshakes", "write_buffer"),
    ]
    before = {name: limit_hits(small.gateway, name) for name in names}
    return lambda name: limit_hits(small.gateway, name) - before[name]


@pytest.mark.parametrize(
    ("message", "code", "limit"),
    [
        ({"type": "chat", "to": "x" * 41, "content": 1}, 422, "name_length"),
        ({"type": "join_room", "content": "x" * 41}, 422, "name_length"),
        ({"type": "chat", "to": "bob", "content": [[[[[[[[[1]]]]]]]]]}, 400, "nesting"),
        ({"type": "ping", "id": "x" * 129}, 422, "id_length"),
    ],
)
async def test_what_is_too_long_or_too_deep_is_refused(small, bystander, hits, message, code, limit) -> None:
    async with Client(small.ws(fresh("long"))) as client:
        await client.send(**message)
        assert (await client.wait_for("error"))[0]["content"]["code"] == code
        assert hits(limit) == 1
        assert (await client.ask(type="ping"))["type"] == "pong"


async def test_a_room_too_many_is_refused(small, bystander, hits) -> None:
    async with Client(small.ws(fresh("rooms"))) as client:
        for number in range(3):
            await client.join(f"limit:{number}")
        refused = await client.ask(type="join_room", content="limit:3")
        assert (refused["content"]["code"], hits("rooms")) == (403, 1)
        await client.ask(type="leave_room", content="limit:0")
        await client.join("limit:3")


async def test_too_many_messages_are_told_429_and_a_flood_is_cut_with_4429(small, bystander, hits) -> None:
    client = await Client(small.ws(fresh("flood"))).open()
    with contextlib.suppress(Exception):
        for number in range(1000):
            await client.send(type="ping", id=number)
    assert (await client.wait_closed())[0] == 4429
    assert client.of_type("error")[0]["content"]["code"] == 429
    assert hits("message_rate") >= 40
    assert hits("rate_strikes") == 1


async def test_too_many_bytes_are_told_429(small, bystander, hits) -> None:
    async with Client(small.ws(fresh("bytes"))) as client:
        for _ in range(4):
            await client.send(type="chat", to="nobody", content="x" * 15_000)
        error = (await client.wait_for("error"))[0]["content"]
        assert (error["code"], hits("byte_rate")) == (429, 1)
        assert "bytes" in error["message"]


async def test_a_frame_over_the_limit_closes_with_1009(small, bystander, hits) -> None:
    client = await Client(small.ws(fresh("large"))).open()
    await client.send(type="chat", to="nobody", content="x" * 20_001)
    assert (await client.wait_closed())[0] == 1009
    assert hits("message_size") == 1


async def test_a_message_that_grows_too_large_to_deliver_is_told_413(small, bystander, hits) -> None:
    user = fresh("grow")
    async with Client(small.ws(user, username="n" * 500)) as client:
        answer = await client.ask(type="chat", to="nobody", content="x" * 19_900)
        assert (answer["content"]["code"], hits("payload_size")) == (413, 1)


async def test_one_connection_of_a_user_too_many_in_the_cluster_is_refused_with_4409(small, bystander, hits) -> None:
    user = fresh("many")
    async with Client(small.ws(user)) as first, Client(small.gateways[1].ws(user)):
        third = await Client(small.ws(user)).open()
        assert third.messages[0]["content"]["code"] == 429
        assert (await third.wait_closed())[0] == 4409
        assert hits("user_connections") == 1
        await first.close()
        await again(small.ws(user))


async def again(url: str) -> None:
    """Connect, as soon as there is a seat."""
    async with asyncio.timeout(10):
        while True:
            async with Client(url) as client:
                if client.messages[0]["type"] == "welcome":
                    return


async def test_the_connections_of_an_instance_that_died_do_not_count(start_stack: Callable[..., Stack]) -> None:
    settings = {"max_user_connections": 1, "lease": 2.0}
    stack = start_stack(env={"REALTIME": json.dumps(settings)}, gateways=2)
    held = await Client(stack.gateways[1].ws("ann")).open()
    stack.gateways[1].signal(signal.SIGKILL)
    await held.wait_closed()
    await again(stack.ws("ann"))


async def test_the_newest_connection_replaces_the_oldest_by_setting(start_stack: Callable[..., Stack]) -> None:
    settings = {"max_user_connections": 2, "on_too_many": "replace"}
    stack = start_stack(env={"REALTIME": json.dumps(settings)}, gateways=2)
    clients = []
    for number in range(4):
        clients.append(await Client(stack.gateways[number % 2].ws("ann")).open())
        await asyncio.sleep(0.002)  # seats are ordered by milliseconds
    assert [(await client.wait_closed())[0] for client in clients[:2]] == [4409, 4409]
    assert clients[0].of_type("error")[0]["content"]["code"] == 429
    for client in clients[2:]:
        assert (await client.ask(type="ping"))["type"] == "pong"
        await client.close()


async def test_over_the_limit_of_a_process_or_an_address_the_upgrade_is_refused(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(env={"REALTIME": '{"max_connections": 2}'})
    per_address = stack.add_gateway(REALTIME='{"max_address_connections": 2, "unlimited_networks": []}')
    per_address.wait_until_ready()
    for gateway, status, limit in ((stack.gateway, 503, "connections"), (per_address, 429, "address_connections")):
        async with Client(gateway.ws("a")) as inside, Client(gateway.ws("b")):
            with pytest.raises(InvalidStatus) as refused:
                await Client(gateway.ws("c")).open()
            assert refused.value.response.status_code == status
            assert int(refused.value.response.headers["Retry-After"]) > 0
            assert limit_hits(gateway, limit) == 1
            assert (await inside.ask(type="ping"))["type"] == "pong"
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(InvalidStatus):
                    async with Client(gateway.ws("c")):
                        break


async def test_sockets_without_a_token_count_as_well(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(env={"REALTIME": '{"max_connections": 1}'})
    with Peer(stack.gateway, "/ws"), pytest.raises(InvalidStatus):  # type: ignore[arg-type]  # has a port, like a Server
        await Client(stack.ws("a")).open()


def raw(gateway: Gateway, *parts: bytes) -> socket.socket:
    """Send bytes on a new connection."""
    client = socket.create_connection(("127.0.0.1", gateway.port), timeout=20)
    for part in parts:
        client.sendall(part)
    return client


async def test_a_request_head_too_large_is_a_431(small, bystander, hits) -> None:
    for head in (upgrade_request("/ws", "X: " + "x" * 2048), b"GET / HTTP/1.1\r\nX: " + b"x" * 2048):
        with raw(small.gateway, head) as client:
            assert client.recv(100).startswith(b"HTTP/1.1 431 ")
    assert hits("header_size") == 2


async def test_a_request_head_too_slow_is_a_408(small, bystander, hits) -> None:
    with raw(small.gateway, b"GET /ws HTT") as slow, raw(small.gateway) as silent, raw(small.gateway, b"P") as post:
        for client in (slow, silent, post):
            assert (await asyncio.to_thread(client.recv, 100)).startswith(b"HTTP/1.1 408 ")
    assert hits("header_time") == 3


async def test_of_too_many_handshakes_the_oldest_is_cut(small, bystander, hits) -> None:
    pending = [raw(small.gateway, b"GET /ws HTTP/1.1\r\n") for _ in range(60)]
    await asyncio.to_thread(wait_until, lambda: hits("pending_handshakes") > 0, "the limit of handshakes")
    async with Client(small.ws(fresh("late"))) as client:
        assert client.messages[0]["type"] == "welcome"
    for waiting in pending:
        waiting.close()


async def test_a_client_that_does_not_read_is_cut_with_1013_and_its_memory_given_back(small, bystander, hits) -> None:
    user = fresh("slow")
    peer = await asyncio.to_thread(Peer, small.gateway, f"/ws?token={make_token(user)}", receive_buffer=4096)
    peer.frame()
    message = {"type": "data_update", "content": {"filling": "x" * 10_000}}

    def fill() -> bool:
        for _ in range(50):
            small.publish(f"websocket:user:{user}", message)
        return hits("write_buffer") > 0

    await asyncio.to_thread(wait_until, fill, "the buffer to be full")
    assert (await asyncio.to_thread(peer.close_frame))[0] == 1013
    peer.socket.close()
