"""Several Redis hosts: every message finds its own, and a host that is away holds up no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ginforge.embedded import EmbeddedValkey
from realtime.groups import user_group
from realtime.keys import group_channel, shard_index, stream_log
from tests.integration.bridges import BridgeRig
from tests.integration.listening import Listener
from tests.integration.programs import Program, wait_until

USERS = [f"u{n}" for n in range(12)]
GROUPS = [user_group(user) for user in USERS]


@pytest.fixture
def second() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture
def rig(valkey: EmbeddedValkey, tmp_path: Path) -> Iterator[BridgeRig]:
    bridges = BridgeRig(valkey, tmp_path / "db.sqlite3")
    yield bridges
    bridges.close()


def start(rig: BridgeRig, second: EmbeddedValkey) -> Program:
    return rig.start_active(REDIS_URL=f"{rig.valkey.url},{second.url}")


def on_second(user: str) -> bool:
    return shard_index(group_channel(user_group(user)), 2) == 1


def publish_to_all(rig: BridgeRig, start: int, count: int) -> None:
    for number in range(start, start + count):
        for user in USERS:
            rig.publish(f"websocket:user:{user}", {"type": "x", "content": number})


def by_user(*listeners: Listener) -> dict[str, list[int]]:
    heard: dict[str, list[int]] = {}
    for listener in listeners:
        for message in listener.messages:
            heard.setdefault(message["to"], []).append(message["content"])
    return heard


def history(valkey: EmbeddedValkey, user: str) -> list[int]:
    """Return the contents in a user's stream."""
    with redis.Redis.from_url(valkey.url) as client:
        entries = client.xrange(stream_log(user_group(user)))
    return [json.loads(fields[b"m"].split(b" ", 1)[1])["content"] for _, fields in entries]


def test_messages_are_spread_over_the_hosts_and_stay_in_order(rig: BridgeRig, second: EmbeddedValkey):
    start(rig, second)
    with Listener(rig.valkey.url, *GROUPS) as first_ear, Listener(second.url, *GROUPS) as second_ear:
        publish_to_all(rig, 0, 50)
        wait_until(lambda: len(first_ear.messages) + len(second_ear.messages) == 600, "600 messages")
        assert by_user(first_ear, second_ear) == {user: list(range(50)) for user in USERS}
        assert set(by_user(second_ear)) == {user for user in USERS if on_second(user)}
        assert 0 < len(second_ear.messages) < 600


def test_a_host_that_is_away_delays_its_own_messages_and_no_others(rig: BridgeRig, second: EmbeddedValkey):
    bridge = start(rig, second)
    with Listener(rig.valkey.url, *GROUPS) as first_ear:
        second.stop()
        bridge.wait_for_log("redis link lost")
        publish_to_all(rig, 0, 20)
        near = [user for user in USERS if not on_second(user)]
        wait_until(lambda: by_user(first_ear) == {user: list(range(20)) for user in near}, "the first host's messages")
        second.start()
        for user in set(USERS) - set(near):
            wait_until(lambda user=user: history(second, user) == list(range(20)), f"the messages of {user}")
    assert rig.dead_letters() == []


def test_what_is_published_on_another_host_is_heard_too(rig: BridgeRig, second: EmbeddedValkey):
    start(rig, second)
    elsewhere = BridgeRig(second, Path("unused"))
    with Listener(rig.valkey.url, "broadcast") as first_ear, Listener(second.url, "broadcast") as second_ear:
        wait_until(elsewhere.redis.pubsub_numpat, "the subscription on the second host")
        elsewhere.publish("websocket:broadcast", {"type": "system", "content": "hi"})
        wait_until(lambda: len(first_ear.messages) + len(second_ear.messages) == 1, "the message")
    elsewhere.close()
