"""Each part of a deployment has its own Redis user that may do what it needs and no more."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError

from notifications import NotificationClient
from tests.integration.clients import Client
from tests.integration.stack import get, make_token
from tests.security.access_lists import GuardedStack, GuardedValkey

NEEDS_READING: dict[str, Callable[[redis.Redis], Any]] = {
    "GET": lambda r: r.get("ginforge:ingress"),
    "HGETALL": lambda r: r.hgetall("ginforge:{presence}:users"),
    "KEYS": lambda r: r.keys("*"),
    "SCAN": lambda r: r.scan(),
    "XREAD": lambda r: r.xread({"ginforge:ingress": "0"}),
    "XRANGE": lambda r: r.xrange("ginforge:ingress"),
    "SUBSCRIBE": lambda r: _subscribed(r, "websocket:broadcast"),
    "SUBSCRIBE to a group": lambda r: _subscribed(r, "ginforge__group__user.1"),
    "EVAL": lambda r: r.eval("return 1", 0),
    "CONFIG": lambda r: r.config_get("*"),
    "ACL": lambda r: r.acl_list(),
    "MONITOR": lambda r: r.execute_command("MONITOR"),
    "FLUSHALL": lambda r: r.flushall(),
    "INFO": lambda r: r.info(),
    "PUBLISH into a group": lambda r: r.publish("ginforge__group__control", "x"),
    "XADD elsewhere": lambda r: r.xadd("ginforge:deadletters", {"a": "b"}),
    "SET a revocation": lambda r: r.set("ginforge:revoked:user:1", "1"),
}


def _subscribed(client: redis.Redis, channel: str) -> Any:
    with client.pubsub() as pubsub:
        pubsub.subscribe(channel)
        return pubsub.get_message(timeout=5)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedValkey]:
    with GuardedValkey(tmp_path_factory.mktemp("guarded")) as server:
        yield server


@pytest.fixture(scope="module")
def deployment(
    valkey: GuardedValkey, tmp_path_factory: pytest.TempPathFactory, migrated_database: Path
) -> Iterator[GuardedStack]:
    database = tmp_path_factory.mktemp("guarded-db") / "db.sqlite3"
    shutil.copy(migrated_database, database)
    with GuardedStack(valkey, database) as stack:
        yield stack


def call(method: str, url: str, token: str, body: Any = None) -> int:
    request = urllib.request.Request(url, method=method, data=json.dumps(body).encode() if body is not None else None)
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=20) as answer:
        return int(answer.status)


async def test_everything_works_with_three_different_users(valkey: GuardedValkey, deployment: GuardedStack) -> None:
    client = NotificationClient(valkey.url("publisher"))
    gateway = deployment.gateway
    async with Client(gateway.ws("ann")) as ann, Client(gateway.ws("bob")) as bob:
        await ann.join("chat:acl")
        await bob.join("chat:acl")
        client.send_notification("ann", "Hello", "plain")
        client.send_notification("ann", "Hello", "durable", durable=True)
        client.send_to_room("chat:acl", "to the room")
        client.broadcast_data_update("user", "create", id=1)
        await ann.wait_for("notification", 2)
        await bob.wait_for("room_message")
        await bob.wait_for("data_update")
        assert (await ann.ask(type="chat", to="bob", content="hi"))["type"] == "ack"
        assert (await ann.ask(type="chat", to="away", content="later"))["type"] == "ack"
        await bob.wait_for("chat")
        assert (await ann.ask(type="leave_room", content="chat:acl"))["type"] == "ack"
        staff = make_token("boss", is_staff=True)
        for path in ("nodes", "connections", "rooms", "members/?room=chat:acl", "bridges", "dead-letters"):
            assert get(f"{gateway.url}/api/v1/realtime/{path}/".replace("chat:acl/", "chat:acl"), token=staff)[0] == 200
        assert get(f"{gateway.url}/ws/online-users", token=staff)[0] == 200
        assert get(f"{gateway.url}/ws/stats")[0] == 200
        cut = {"user_id": "bob", "revoke": True}
        assert call("POST", f"{gateway.url}/api/v1/realtime/disconnect/", staff, cut) == 202
        assert (await bob.wait_closed())[0] == 4403
    with valkey.client("publisher") as publisher:
        publisher.publish("websocket:user:ann", b"rubbish")
    assert gateway.is_ready()
    deployment.bridge.terminate()
    refused = [line for line in valkey.refusals() if not line.startswith("publisher")]
    assert refused == [], "the access lists lack something the gateway or the bridge does"


@pytest.mark.parametrize("what", NEEDS_READING)
def test_a_publisher_can_only_publish(valkey: GuardedValkey, what: str) -> None:
    with valkey.client("publisher") as publisher, pytest.raises(NoPermissionError) as told:
        NEEDS_READING[what](publisher)
    assert "permission" in str(told.value)


@pytest.mark.parametrize("user", ["bridge", "gateway"])
@pytest.mark.parametrize(
    "command", [("FLUSHALL",), ("CONFIG", "GET", "*"), ("KEYS", "*"), ("ACL", "LIST"), ("MONITOR",), ("GET", "other")]
)
def test_bridge_and_gateway_cannot_administrate(valkey: GuardedValkey, user: str, command: tuple[str, ...]) -> None:
    with valkey.client(user) as client, pytest.raises(NoPermissionError):
        client.execute_command(*command)


def test_the_bridge_cannot_touch_revocations(valkey: GuardedValkey) -> None:
    with valkey.client("bridge") as bridge, pytest.raises(NoPermissionError):
        bridge.set("ginforge:revoked:user:1", "1")


def test_the_gateway_cannot_take_the_bridges_lease(valkey: GuardedValkey) -> None:
    with valkey.client("gateway") as gateway, pytest.raises(NoPermissionError):
        gateway.set("ginforge:{bridge}:lease", "me")


def test_nobody_gets_in_without_a_password(valkey: GuardedValkey) -> None:
    with redis.Redis(port=valkey.port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
