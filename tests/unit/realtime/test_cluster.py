"""The cluster read and commanded from outside, against real gateway processes in this loop and a real Valkey."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from realtime import keys
from realtime.cluster import Cluster
from realtime.codes import Unavailable
from tests.unit.realtime.conftest import eventually
from tests.unit.realtime.test_hub import Client

pytestmark = pytest.mark.usefixtures("without_offline_store")


@pytest.fixture
def cluster(valkey) -> Iterator[Cluster]:
    made = Cluster([valkey.url])
    yield made
    made.close()


async def test_an_empty_cluster_has_nothing_to_tell(cluster):
    stats = await asyncio.to_thread(cluster.stats)
    assert (stats.total_clients, stats.online_users, stats.total_rooms, stats.uptime) == (0, 0, 0, 0)
    assert cluster.nodes() == cluster.online_users() == cluster.rooms() == cluster.bridges() == []


async def test_the_figures_are_those_of_all_processes(valkey, make_hub, cluster):
    one, other = await make_hub(valkey), await make_hub(valkey)
    clients = [await Client(hub, user).connect() for hub, user in ((one, "1"), (one, "2"), (other, "2"))]
    for client in clients:
        await client.join("r")
    await clients[0].join("日:x")

    def stats():
        return cluster.stats()

    await eventually(lambda: (stats().total_clients, stats().online_users, stats().total_rooms) == (3, 2, 2))
    assert (stats().total_clients, stats().online_users, stats().total_rooms) == (3, 2, 2)
    assert isinstance(stats().uptime, int)
    assert cluster.online_users() == ["1", "2"]
    assert (cluster.is_online("2"), cluster.is_online("9")) == (True, False)
    assert cluster.rooms() == [{"room": "r", "nodes": 2}, {"room": "日:x", "nodes": 1}]
    nodes = cluster.nodes()
    assert [node["node"] for node in nodes] == [one.node, other.node]
    assert all(node["memory"] > 0 and node["started"] <= time.time() for node in nodes)


async def test_connections_are_listed_over_all_processes_and_filtered(valkey, make_hub, cluster):
    one, other = await make_hub(valkey), await make_hub(valkey)
    clients = [await Client(hub, user).connect() for hub, user in ((one, "1"), (one, "2"), (other, "2"))]
    await clients[2].join("r")
    rows = await asyncio.to_thread(cluster.connections)
    assert [row["user_id"] for row in rows] == ["1", "2", "2"]
    rows = await asyncio.to_thread(cluster.connections, user_id="2")
    assert {row["node"] for row in rows} == {one.node, other.node}
    (row,) = await asyncio.to_thread(cluster.members, "r")
    assert row["client_id"] == clients[2].connection.client_id
    (row,) = await asyncio.to_thread(cluster.connections, client_id=clients[0].connection.client_id)
    assert row["user_id"] == "1"
    assert len(await asyncio.to_thread(cluster.connections, address="10.0.0.1")) == 3
    assert await asyncio.to_thread(cluster.connections, address="10.0.0.2") == []


async def test_a_user_is_disconnected_everywhere(valkey, make_hub, cluster):
    one, other = await make_hub(valkey), await make_hub(valkey)
    victims = [await Client(hub, "7").connect() for hub in (one, other)]
    await asyncio.to_thread(cluster.disconnect, user_id="7", reason="bye")
    for victim in victims:
        await eventually(lambda victim=victim: victim.socket.closed == (4403, "bye"))


@pytest.mark.parametrize("target", [{}, {"user_id": "1", "jti": "2"}])
def test_an_order_to_disconnect_names_exactly_one_target(cluster, target):
    with pytest.raises(ValueError, match="exactly one"):
        cluster.disconnect(**target)


def test_a_dead_process_is_not_listed(cluster):
    cluster.redis.zadd(keys.PRESENCE_NODES, {"dead": (time.time() - 1) * 1000})
    cluster.redis.hset(keys.node_info("dead"), "info", '{"node":"dead","clients":5,"started":1}')
    assert cluster.nodes() == []
    assert cluster.stats().total_clients == 0


def test_without_redis_every_question_fails_in_time(own_valkey):
    own_valkey.stop()
    cluster = Cluster([own_valkey.url], connect_timeout=0.3, timeout=0.5)
    began = time.monotonic()
    for ask in (cluster.stats, cluster.nodes, cluster.online_users, cluster.rooms, cluster.bridges, cluster.recheck):
        with pytest.raises(Unavailable):
            ask()
    assert time.monotonic() - began < 10
