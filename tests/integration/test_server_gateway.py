"""The project's own application on the server, with workers, and on servers that are not ours."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.integration.programs import wait_until
from tests.integration.stack import Gateway, Stack, get

SERVERS = {
    "daphne": ["-m", "daphne", "-b", "127.0.0.1", "-p", "{port}", "ginforge.asgi:application"],
    "uvicorn": ["-m", "uvicorn", "--port", "{port}", "ginforge.asgi:application"],
    "ginforge.server": ["-m", "ginforge.server", "-b", "127.0.0.1", "-p", "{port}", "ginforge.asgi:application"],
}


class OtherGateway(Gateway):
    """The same application on another ASGI server."""

    def __init__(self, server: str, env: Mapping[str, str]) -> None:
        super().__init__(env, name=server)
        self.command = [sys.executable, *(word.format(port=self.port) for word in SERVERS[server])]


def until(client: ClientConnection, kind: str) -> dict[str, Any]:
    """Read messages until one of this type comes."""
    while True:
        message: dict[str, Any] = json.loads(client.recv(timeout=20))
        if message["type"] == kind:
            return message


def say(client: ClientConnection, **message: Any) -> None:
    client.send(json.dumps(message))


@pytest.mark.parametrize("server", SERVERS)
def test_the_same_application_runs_on_any_asgi_server(stack: Stack, server: str) -> None:
    with OtherGateway(server, stack.env) as gateway:
        gateway.wait_until_ready()
        with connect(gateway.ws(f"on-{server}"), compression=None) as client:
            until(client, "welcome")
            say(client, type="join_room", content="server:other", id="1")
            until(client, "ack")
            say(client, type="room_message", room="server:other", content="from a client")
            assert until(client, "room_message")["content"] == "from a client"
            stack.publish("websocket:room:server:other", {"type": "room_message", "content": "from a service"})
            assert until(client, "room_message")["content"] == "from a service"
            client.send(b"binary")
            with pytest.raises(ConnectionClosed):
                until(client, "never")


def test_workers_of_the_gateway_share_rooms_and_metrics_and_drain_together(
    start_stack: Callable[..., Stack],
) -> None:
    stack = start_stack(workers=2)
    wait_until(lambda: stack.gateway.log.count("gateway node ready") == 2, "both workers")
    clients = [connect(stack.ws(f"user-{number}"), compression=None, legacy=True) for number in range(60)]
    nodes = {until(client, "welcome")["data"]["node"] for client in clients}
    assert len(nodes) == 2
    for client in clients:
        say(client, type="join_room", content="server:all", id="1")
        until(client, "ack")
    say(clients[0], type="room_message", room="server:all", content="to both workers")
    assert [until(client, "room_message")["content"] for client in clients] == ["to both workers"] * 60
    wait_until(lambda: "websocket_connections_total" in get(f"{stack.url}/metrics")[1], "metrics")
    accepted = re.findall(
        r"^websocket_connections_total\{.*accepted.*\} (\S+)", get(f"{stack.url}/metrics")[1], re.MULTILINE
    )
    assert [float(value) for value in accepted] == [60.0]
    stack.gateway.signal(signal.SIGTERM)
    for client in clients:
        with pytest.raises(ConnectionClosed, match=r"1012.*retry_after_ms"):
            until(client, "never")
    assert stack.gateway.wait(20) == 0
