"""Seats: the connections of a user in the whole cluster, against a real Valkey."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
import redis

from realtime import keys
from realtime.codes import LimitReached
from realtime.conf import RealtimeSettings
from realtime.layer import RedisStreamChannelLayer
from realtime.presence import sweep
from realtime.seats import Seats


class Node:
    """The seats of one gateway process."""

    def __init__(self, layer: RedisStreamChannelLayer, store: redis.Redis, name: str, **conf: Any) -> None:
        self.replaced: list[str] = []
        self.shard = layer.for_loop().shards[0]
        settings = RealtimeSettings(**{"max_user_connections": 2, **conf})
        self.seats = Seats(self.shard, name, settings, replaced=self.replaced.append)
        self.name = name
        self.store = store
        self.alive(60)

    def alive(self, seconds: float) -> None:
        self.store.zadd(keys.PRESENCE_NODES, {self.name: (time.time() + seconds) * 1000})

    async def take(self, client: str, user: str = "ann") -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.seats.take(user, client, future.set_result)
        return await future

    async def took(self, client: str, user: str = "ann") -> bool:
        reply = await self.take(client, user)
        assert reply is None or isinstance(reply, LimitReached), reply
        return reply is None


@pytest.fixture
async def node(make_layer, valkey, store):
    async def start(name: str = "n1", **conf: Any) -> Node:
        layer = make_layer(valkey)
        await layer.for_loop().ready()
        return Node(layer, store, name, **conf)

    return start


async def test_one_connection_too_many_finds_no_seat_on_any_node(node) -> None:
    one, two = await node("n1"), await node("n2")
    assert [await one.took("a"), await two.took("b")] == [True, True]
    assert [await one.took("c"), await two.took("d")] == [False, False]
    assert await one.took("e", user="Ann")


async def test_of_many_at_once_exactly_as_many_as_there_are_seats_get_one(node) -> None:
    nodes = [await node(f"n{number}", max_user_connections=5) for number in range(3)]
    tries = [nodes[number % 3].took(f"c{number}") for number in range(30)]
    assert sum(await asyncio.gather(*tries)) == 5


async def test_a_seat_that_was_given_back_is_free_even_when_that_follows_at_once(node) -> None:
    one = await node()
    for number in range(10):
        taken = asyncio.ensure_future(one.took(f"c{number}"))
        await asyncio.sleep(0)
        one.seats.release("ann", f"c{number}")
        assert await taken
    assert one.store.exists(keys.user_seats("ann")) == 0


async def test_the_seats_of_a_node_that_died_are_free(node) -> None:
    one, two = await node("n1"), await node("n2")
    assert [await one.took("a"), await one.took("b"), await two.took("c")] == [True, True, False]
    one.alive(-1)
    assert [await two.took("d"), await two.took("e"), await two.took("f")] == [True, True, False]


async def test_the_sweep_after_a_dead_node_removes_its_seats_and_no_others(node) -> None:
    one, two = await node("n1"), await node("n2")
    await one.took("a")
    await two.took("b")
    one.store.hset(keys.node_users("n1"), "ann", "Ann")
    one.store.hset(keys.PRESENCE_USERS, "ann", 2)
    one.alive(-1)
    await sweep(two.shard.link)
    assert one.store.zrange(keys.user_seats("ann"), 0, -1) == ["b n2"]


async def test_the_newest_connection_takes_the_seat_of_the_oldest(node) -> None:
    one, two = await node("n1", on_too_many="replace"), await node("n2", on_too_many="replace")
    for at, client in ((one, "a"), (two, "b"), (two, "c"), (one, "d")):
        assert await at.took(client)
        await asyncio.sleep(0.002)  # the order of the seats is by milliseconds
    assert (two.replaced, one.replaced) == (["a"], ["b"])
    assert one.store.zrange(keys.user_seats("ann"), 0, -1) == ["c n2", "d n1"]


async def test_seats_that_redis_forgot_are_written_down_again(node) -> None:
    one = await node()
    await one.took("a")
    one.store.delete(keys.user_seats("ann"))
    one.seats.restore([("ann", "a"), ("ann", "b")])
    assert not await one.took("c")


async def test_without_redis_the_caller_hears_it_and_a_release_is_made_up_for(node, monkeypatch) -> None:
    one = await node()
    await one.took("a")
    run = one.shard.run
    monkeypatch.setattr(one.shard, "run", lambda _name, callback, *_: callback(ConnectionError("gone")))
    assert isinstance(await one.take("b"), ConnectionError)
    one.seats.release("ann", "a")
    await asyncio.sleep(0)
    monkeypatch.setattr(one.shard, "run", run)
    one.seats.restore([])
    assert [await one.took("c"), await one.took("d")] == [True, True]


async def test_zero_means_no_limit_and_no_question_to_redis(node) -> None:
    one = await node(max_user_connections=0)
    assert [await one.take(str(number)) for number in range(9)] == [None] * 9
    assert one.store.keys(keys.user_seats("*")) == []
