"""Who is online in the cluster, against a real Valkey: each transition told once, whatever processes do."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from realtime import keys
from realtime.conf import RealtimeSettings
from realtime.link import resolve
from realtime.presence import Presence, Transition, changed_text, status_text
from tests.unit.realtime.conftest import eventually

FAST: dict[str, Any] = {"presence_grace": 0.3, "lease": 0.8}


class Node:
    """One gateway process's presence; ``told`` is what it announced."""

    def __init__(self, name: str, layer: Any, conf: RealtimeSettings) -> None:
        self.told: list[dict[str, Any]] = []
        self.clients = 0
        self.presence = Presence(
            layer,
            name,
            conf,
            info=lambda: {"node": name, "clients": self.clients, "started": 0},
            clients=lambda: self.clients,
            announce=lambda text: self.told.append(json.loads(text)),
        )

    async def arrive(self, *user_ids: str) -> None:
        answers = []
        for user_id in user_ids:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.presence.arrive(user_id, f"name-{user_id}", lambda reply, future=future: resolve(future, reply))
            answers.append(future)
        await asyncio.gather(*answers)

    def die(self) -> None:
        """Stop without a word, as a killed process does."""
        for task in self.presence._tasks:
            task.cancel()

    @property
    def statuses(self) -> list[tuple[str, str]]:
        return [(m["content"]["user_id"], m["content"]["status"]) for m in self.told if m["type"] == "user_status"]

    @property
    def summaries(self) -> int:
        return sum(message["type"] == "data_update" for message in self.told)


StartNode = Callable[..., Any]


@pytest.fixture
async def start(valkey, make_layer) -> AsyncIterator[StartNode]:
    nodes: list[Node] = []

    async def start_node(name: str, **conf: Any) -> Node:
        values = {**FAST, **conf}
        layer = make_layer(valkey, **values).for_loop()
        await layer.ready()
        node = Node(name, layer, RealtimeSettings(**values))
        nodes.append(node)
        await node.presence.start()
        return node

    yield start_node
    for node in nodes:
        node.die()


def told(nodes: list[Node]) -> list[tuple[str, str]]:
    return [status for node in nodes for status in node.statuses]


async def quiet(seconds: float = 0.5) -> None:
    """Give what must not happen the time to happen."""
    await asyncio.sleep(seconds)


async def test_the_first_device_is_told_once_the_second_not(start, store):
    one, other = await start("a"), await start("b")
    await one.arrive("7")
    await one.arrive("7")
    await other.arrive("7")
    await eventually(lambda: one.statuses)
    await quiet()
    assert told([one, other]) == [("7", "online")]
    assert store.hgetall(keys.PRESENCE_USERS) == {"7": "2"}
    message = one.told[0]
    assert message["content"] == {"user_id": "7", "user_name": "name-7", "status": "online"}
    assert isinstance(message["timestamp"], int)


async def test_the_last_device_gone_is_told_after_the_grace(start, store):
    one, other = await start("a"), await start("b")
    await one.arrive("7")
    await other.arrive("7")
    one.presence.depart("7")
    await eventually(lambda: store.hget(keys.PRESENCE_USERS, "7") == "1")
    assert ("7", "offline") not in told([one, other])
    left = time.monotonic()
    other.presence.depart("7")
    await eventually(lambda: ("7", "offline") in told([one, other]))
    assert time.monotonic() - left >= FAST["presence_grace"]
    assert not store.exists(keys.PRESENCE_USERS)
    await quiet()
    assert told([one, other]) == [("7", "online"), ("7", "offline")]


async def test_who_comes_back_within_the_grace_was_never_away(start, store):
    node = await start("a")
    await node.arrive("7")
    await eventually(lambda: node.statuses)
    node.presence.depart("7")
    await node.arrive("7")
    await quiet(0.8)
    assert node.statuses == [("7", "online")]
    assert store.hget(keys.PRESENCE_USERS, "7") == "1"


async def test_who_moves_to_another_process_within_the_grace_was_never_away(start, store):
    one, other = await start("a"), await start("b")
    await one.arrive("7")
    await eventually(lambda: one.statuses)
    one.presence.depart("7")
    await other.arrive("7")
    await eventually(lambda: not store.exists(keys.node_users("a")))
    await quiet()
    assert told([one, other]) == [("7", "online")]


async def test_the_users_of_a_killed_process_go_offline_by_themselves(start, store):
    one, other = await start("a"), await start("b")
    await one.arrive("7", "8")
    await other.arrive("8")
    one.presence.room_opened("r")
    await eventually(lambda: store.hget(keys.PRESENCE_ROOMS, "r"))
    one.die()
    await eventually(lambda: ("7", "offline") in other.statuses)
    await eventually(lambda: not store.exists(keys.node_info("a")))
    assert store.hgetall(keys.PRESENCE_USERS) == {"8": "1"}
    assert store.hgetall(keys.PRESENCE_ROOMS) == {}
    assert ("8", "offline") not in told([one, other])
    assert store.zrange(keys.PRESENCE_NODES, 0, -1) == ["b"]


async def test_of_several_survivors_one_tells_of_a_dead_processs_users(start, store):
    dead, *others = [await start(name) for name in "abcd"]
    await dead.arrive(*[str(n) for n in range(20)])
    await eventually(lambda: len(dead.statuses) == 20)
    dead.die()
    await eventually(lambda: not store.exists(keys.PRESENCE_USERS))
    await quiet()
    offline = [user_id for user_id, status in told(others) if status == "offline"]
    assert sorted(offline, key=int) == [str(n) for n in range(20)]


async def test_a_process_taken_for_dead_by_mistake_comes_back_with_its_users(start, store):
    one, other = await start("a"), await start("b")
    await one.arrive("7")
    await eventually(lambda: one.statuses)
    one.die()
    await eventually(lambda: ("7", "offline") in other.statuses)
    await eventually(lambda: not store.zscore(keys.PRESENCE_NODES, "a"))
    await one.presence.start()
    await eventually(lambda: store.hget(keys.PRESENCE_USERS, "7") == "1")
    await eventually(lambda: one.statuses.count(("7", "online")) == 2)


async def test_a_wiped_redis_is_filled_again_without_a_storm_of_events(start, store):
    one, other = await start("a"), await start("b")
    await one.arrive("7", "8")
    await other.arrive("8")
    one.presence.room_opened("r")
    await eventually(lambda: len(one.statuses) == 2 and store.hget(keys.PRESENCE_ROOMS, "r"))
    before = told([one, other])
    store.flushall()
    await eventually(lambda: store.hgetall(keys.PRESENCE_USERS) == {"7": "1", "8": "2"})
    await eventually(lambda: store.hgetall(keys.PRESENCE_ROOMS) == {"r": "1"})
    await eventually(lambda: one.summaries + other.summaries >= 1)
    assert told([one, other]) == before


async def test_more_transitions_than_the_budget_give_way_to_a_summary(start):
    node = await start("a", presence_budget=5)
    await node.arrive(*[str(n) for n in range(100)])
    await eventually(lambda: node.summaries)
    assert 1 <= len(node.statuses) <= 10
    assert node.told[-1]["content"] == {"entity": "presence", "action": "changed"}


async def test_the_budget_is_one_for_the_cluster(start):
    one, other = await start("a", presence_budget=5), await start("b", presence_budget=5)
    await asyncio.gather(one.arrive(*map(str, range(50))), other.arrive(*map(str, range(50, 100))))
    await eventually(lambda: one.summaries + other.summaries)
    assert len(told([one, other])) <= 10


async def test_with_many_clients_connected_single_events_give_way_sooner(start):
    node = await start("a", presence_budget=50, presence_deliveries=1000)
    node.clients = 500
    await node.arrive(*map(str, range(20)))
    await eventually(lambda: node.summaries)
    assert len(node.statuses) <= 4


async def test_summaries_are_at_most_one_a_second(start):
    node = await start("a", presence_budget=1)
    began = time.monotonic()
    for n in range(12):
        await node.arrive(f"x{n}", f"y{n}")
        await asyncio.sleep(0.1)
    assert 1 <= node.summaries <= time.monotonic() - began + 1


async def test_nobody_hears_of_anything_when_the_setting_says_so(start, store):
    node = await start("a", presence_audience="nobody")
    await node.arrive("7")
    await eventually(lambda: store.hget(keys.PRESENCE_USERS, "7"))
    await quiet()
    assert node.told == []


async def test_rooms_are_counted_per_process(start, store):
    one, other = await start("a"), await start("b")
    one.presence.room_opened("chat:room001")
    other.presence.room_opened("chat:room001")
    await eventually(lambda: store.hget(keys.PRESENCE_ROOMS, "chat:room001") == "2")
    one.presence.room_closed("chat:room001")
    await eventually(lambda: store.hget(keys.PRESENCE_ROOMS, "chat:room001") == "1")
    other.presence.room_closed("chat:room001")
    await eventually(lambda: not store.exists(keys.PRESENCE_ROOMS))


async def test_the_last_process_to_stop_takes_its_users_offline_at_once(start, store):
    node = await start("a")
    await node.arrive("7")
    node.presence.room_opened("r")
    await eventually(lambda: store.hget(keys.PRESENCE_ROOMS, "r"))
    await node.presence.stop()
    assert not store.exists(keys.PRESENCE_USERS, keys.PRESENCE_ROOMS)


async def test_users_of_a_process_that_stops_have_the_grace_to_move(start, store):
    one, other = await start("a"), await start("b")
    await one.arrive("7", "8")
    await eventually(lambda: len(one.statuses) == 2)
    await one.presence.stop()
    await other.arrive("7")
    await eventually(lambda: ("8", "offline") in told([one, other]))
    await quiet()
    assert ("7", "offline") not in told([one, other])
    assert store.hgetall(keys.PRESENCE_USERS) == {"7": "1"}


async def test_thousands_arrive_in_a_few_batches(start, store):
    node = await start("a")
    await node.arrive(*map(str, range(5000)))
    assert store.hlen(keys.PRESENCE_USERS) == 5000
    for n in range(5000):
        node.presence.depart(str(n))
    await eventually(lambda: not store.exists(keys.PRESENCE_USERS))


async def test_any_interleaving_of_arrivals_and_departures_ends_true(start, store):
    nodes = [await start("a", presence_grace=0.0), await start("b", presence_grace=0.0)]
    here: list[set[str]] = [set(), set()]
    for n in range(400):
        which, user_id = n % 2, str((n * 7) % 5)
        if user_id in here[which]:
            here[which].discard(user_id)
            nodes[which].presence.depart(user_id)
        else:
            here[which].add(user_id)
            await nodes[which].arrive(user_id)
        if n % 40 == 0:
            await asyncio.sleep(0.12)
    counts = {u: str(sum(u in users for users in here)) for u in set.union(*here)}
    await eventually(lambda: store.hgetall(keys.PRESENCE_USERS) == counts)
    await quiet(0.3)
    assert store.hgetall(keys.PRESENCE_USERS) == counts


def test_a_status_has_the_form_of_the_contract():
    message = json.loads(status_text(Transition("7", "Ann", "offline")))
    assert (message["type"], message["content"]) == (
        "user_status",
        {"user_id": "7", "user_name": "Ann", "status": "offline"},
    )
    assert json.loads(changed_text())["type"] == "data_update"
