"""The staff API, statistics and revocation over a real Valkey."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from redis import Redis
from rest_framework.test import APIClient

from ginforge.embedded import EmbeddedValkey
from realtime import keys
from realtime.auth import InvalidToken, get_verifier, revocation
from realtime.auth.minting import mint_access_token
from realtime.cluster import get_cluster
from realtime.codes import Unavailable
from realtime.conf import get_settings

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as valkey:
        yield valkey


@pytest.fixture(autouse=True)
def redis(server: EmbeddedValkey, settings: Any) -> Iterator[Redis]:
    settings.REDIS_URLS = [server.url]
    get_cluster.cache_clear()
    with Redis.from_url(server.url) as client:
        client.flushall()
        yield client
    get_cluster().close()
    get_cluster.cache_clear()


@pytest.fixture
def no_redis(settings: Any) -> None:
    settings.REDIS_URLS = ["redis://127.0.0.1:1"]
    get_cluster.cache_clear()


def client(user_id: str = "1", *, is_staff: bool = False) -> APIClient:
    found = APIClient()
    found.credentials(HTTP_AUTHORIZATION="Bearer " + mint_access_token(user_id, is_staff=is_staff))
    return found


def staff() -> APIClient:
    return client("boss", is_staff=True)


def add_node(redis: Redis, name: str, **info: Any) -> None:
    redis.zadd(keys.PRESENCE_NODES, {name: (time.time() + 60) * 1000})
    described = {"node": name, "started": time.time() - 100, "clients": 2, "users": 1, "rooms": 1, **info}
    redis.hset(keys.node_info(name), "info", json.dumps(described))


def add_letter(redis: Redis, payload: bytes = b"{", **changes: Any) -> str:
    fields = {"channel": "websocket:broadcast", "payload": payload, "size": len(payload), "reason": "bad JSON"}
    entry = {**fields, "source": "pubsub", "at": time.time(), **changes}
    return redis.xadd(keys.DEAD_LETTERS, entry).decode()  # type: ignore[union-attr, arg-type]  # redis-py: sync or async


def test_stats_are_exactly_four_integers_for_the_whole_cluster(redis: Redis) -> None:
    assert APIClient().get("/ws/stats").json() == {"total_clients": 0, "online_users": 0, "total_rooms": 0, "uptime": 0}
    add_node(redis, "a")
    add_node(redis, "b", clients=3)
    redis.hset(keys.PRESENCE_USERS, mapping={"u1": 2, "u2": 1})
    redis.hset(keys.PRESENCE_ROOMS, mapping={"chat:1": 1})
    body = APIClient().get("/ws/stats").json()
    assert {name: body[name] for name in ("total_clients", "online_users", "total_rooms")} == {
        "total_clients": 5,
        "online_users": 2,
        "total_rooms": 1,
    }
    assert set(body) == {"total_clients", "online_users", "total_rooms", "uptime"}
    assert type(body["uptime"]) is int
    assert body["uptime"] >= 100


def test_online_users_want_a_token_and_keep_every_character(redis: Redis) -> None:
    redis.hset(keys.PRESENCE_USERS, mapping={"用户:1": 1, "b": 1, "a/ b": 1})
    assert APIClient().get("/ws/online-users").status_code == 401
    assert client().get("/ws/online-users").json() == {"total": 3, "users": ["a/ b", "b", "用户:1"]}


def test_stats_can_be_closed_to_all_but_staff(settings: Any) -> None:
    settings.REALTIME = {"public_stats": False}
    get_settings.cache_clear()
    assert APIClient().get("/ws/stats").status_code == 401
    assert client().get("/ws/stats").status_code == 403
    assert staff().get("/ws/stats").status_code == 200


@pytest.mark.usefixtures("no_redis")
@pytest.mark.parametrize("path", ["/ws/stats", "/ws/online-users", "/api/v1/realtime/nodes/"])
def test_without_redis_the_answer_is_a_503_in_json(path: str) -> None:
    response = (APIClient() if path == "/ws/stats" else staff()).get(path)
    assert response.status_code == 503
    assert response.json() == {"detail": "The service is not available at the moment."}


STAFF_PATHS = ["nodes", "connections", "rooms", "members", "bridges", "dead-letters"]


@pytest.mark.parametrize("name", STAFF_PATHS)
def test_the_staff_api_is_for_staff(name: str) -> None:
    path = f"/api/v1/realtime/{name}/"
    assert APIClient().get(path).status_code == 401
    assert client().get(path).status_code == 403
    assert staff().get(path, {"room": "r"}).status_code == 200


def test_disconnecting_is_for_staff() -> None:
    assert APIClient().post("/api/v1/realtime/disconnect/", {"user_id": "u"}).status_code == 401
    assert client().post("/api/v1/realtime/disconnect/", {"user_id": "u"}).status_code == 403


def test_nodes_rooms_and_bridges_are_listed(redis: Redis) -> None:
    add_node(redis, "a", pid=7, memory=1000)
    redis.hset(keys.PRESENCE_ROOMS, "chat:1", 2)
    redis.hset(keys.BRIDGES, "b1", json.dumps({"id": "b1", "role": "active", "at": 5.5}))
    boss = staff()
    assert boss.get("/api/v1/realtime/nodes/").json()[0] | {"started": 0} == {
        "node": "a", "version": "", "host": "", "pid": 7, "started": 0, "at": 0.0, "clients": 2, "users": 1,
        "rooms": 1, "memory": 1000, "draining": False,
    }  # fmt: skip
    assert boss.get("/api/v1/realtime/rooms/").json() == [{"room": "chat:1", "nodes": 2}]
    assert boss.get("/api/v1/realtime/bridges/").json() == [
        {
            "id": "b1", "role": "active", "host": "", "pid": 0, "started": 0.0, "at": 5.5, "lag": 0.0, "waiting": 0,
            "dropped": 0, "dead_letters": 0, "counters": {},
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 5000}, {"limit": "x"}, {"room": "x" * 513}, {"user_id": "\x00"}]
)
def test_a_wrong_query_is_a_400(query: dict[str, Any]) -> None:
    assert staff().get("/api/v1/realtime/connections/", query).status_code == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_id": "u", "client_id": "c"},
        {"user_id": "u", "code": 1000},
        {"user_id": "u", "reason": "长" * 60},
        {"client_id": "c", "revoke": True},
        {"user_id": ""},
    ],
)
def test_a_wrong_disconnect_is_a_400(body: dict[str, Any]) -> None:
    assert staff().post("/api/v1/realtime/disconnect/", body, format="json").status_code == 400


@pytest.mark.parametrize("target", [{"user_id": " u:1 "}, {"client_id": "c1"}, {"jti": "j1"}])
def test_a_disconnect_reaches_every_process(redis: Redis, target: dict[str, str]) -> None:
    with redis.pubsub() as listener:
        listener.subscribe(keys.group_channel("control"))
        listener.get_message(timeout=2)
        body = {**target, "code": 4403, "reason": "bye"}
        assert staff().post("/api/v1/realtime/disconnect/", body, format="json").status_code == 202
        message = listener.get_message(timeout=2)
    assert message is not None
    assert msgpack.unpackb(message["data"]) == {
        "type": "realtime.control", "op": "disconnect", "code": 4403, "reason": "bye", **target
    }  # fmt: skip


def test_a_revoked_user_is_kept_out_of_http_too(redis: Redis) -> None:
    victim = client("victim")
    assert victim.get("/ws/online-users").status_code == 200
    body = {"user_id": "victim", "revoke": True}
    assert staff().post("/api/v1/realtime/disconnect/", body, format="json").status_code == 202
    assert victim.get("/ws/online-users").status_code == 401
    assert client("other").get("/ws/online-users").status_code == 200
    assert 0 < redis.ttl(keys.revoked_user("victim")) <= revocation.USER_REVOCATION_TTL + 1


def test_a_revoked_token_expires_with_the_token(redis: Redis) -> None:
    principal = get_verifier().verify(mint_access_token("u", ttl=50))
    assert principal.jti is not None
    revocation.check(principal)
    revocation.revoke_token(principal.jti, principal.expires_at)
    with pytest.raises(InvalidToken, match="revoked"):
        revocation.check(principal)
    assert 0 < redis.ttl(keys.revoked_token(principal.jti)) <= 51
    revocation.revoke_token("long-expired", time.time() - 10)
    assert not redis.exists(keys.revoked_token("long-expired"))


@pytest.mark.usefixtures("no_redis")
def test_while_revocations_cannot_be_read_tokens_are_refused_unless_the_setting_says_otherwise(settings: Any) -> None:
    principal = get_verifier().verify(mint_access_token("u"))
    with pytest.raises(Unavailable):
        revocation.check(principal)
    settings.REALTIME = {"fail_open_revocation": True}
    get_settings.cache_clear()
    revocation.check(principal)


def test_dead_letters_are_listed_newest_first_in_pages(redis: Redis) -> None:
    ids = [add_letter(redis, b'{"n":%d}' % number) for number in range(5)]
    first = staff().get("/api/v1/realtime/dead-letters/", {"limit": 3}).json()
    assert [letter["id"] for letter in first["results"]] == ids[:1:-1]
    assert (first["total"], first["next"]) == (5, ids[2])
    second = staff().get("/api/v1/realtime/dead-letters/", {"limit": 3, "before": first["next"]}).json()
    assert [letter["payload"] for letter in second["results"]] == ['{"n":1}', '{"n":0}']
    assert second["next"] is None
    assert staff().get("/api/v1/realtime/dead-letters/", {"before": "+"}).status_code == 400


def test_a_dead_letter_of_any_bytes_is_shown(redis: Redis) -> None:
    add_letter(redis, b"\xff\x00{", channel=b"websocket:\xfe", size=99, at="nonsense")
    letter = staff().get("/api/v1/realtime/dead-letters/").json()["results"][0]
    assert letter["payload"] == "\\xff\x00{"
    assert letter["size"] == 99
    assert letter["at"] > 1e9
