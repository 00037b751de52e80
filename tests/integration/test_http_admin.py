"""The admin pages of the gateway over a real Valkey: what they show, and who may do what."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.test import Client
from redis import Redis

from ginforge.embedded import EmbeddedValkey
from realtime import keys
from realtime.auth import get_verifier
from realtime.cluster import get_cluster

pytestmark = pytest.mark.django_db

GATEWAY = "/admin/realtime/gateway/"
LETTERS = "/admin/realtime/deadletterbox/"


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


def signed_in(*permissions: str, is_superuser: bool = False) -> Client:
    user = User.objects.create_user(f"staff-{time.time_ns()}", is_staff=True, is_superuser=is_superuser)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def add_letter(redis: Redis, payload: bytes = b'{"type":"x"}', **changes: Any) -> str:
    fields = {"channel": "websocket:broadcast", "payload": payload, "size": len(payload), "reason": "no such channel"}
    entry = {**fields, "source": "pubsub", "at": time.time(), **changes}
    return redis.xadd(keys.DEAD_LETTERS, entry).decode()  # type: ignore[union-attr, arg-type]  # redis-py: sync or async


def test_the_admin_has_a_section_of_the_gateway() -> None:
    page = signed_in(is_superuser=True).get("/admin/").content.decode()
    assert GATEWAY in page
    assert LETTERS in page
    assert GATEWAY not in signed_in().get("/admin/").content.decode()


def test_the_gateway_page_shows_the_cluster(redis: Redis) -> None:
    redis.zadd(keys.PRESENCE_NODES, {"node-1": (time.time() + 60) * 1000})
    info = {"node": "node-1", "started": time.time() - 100, "clients": 17, "memory": 5_000_000, "version": "9.9"}
    redis.hset(keys.node_info("node-1"), "info", json.dumps(info))
    redis.hset(keys.BRIDGES, "b1", json.dumps({"id": "bridge-1", "role": "active", "at": time.time()}))
    page = signed_in("view_gateway").get(GATEWAY).content.decode()
    for text in (">17</b>", ">1 min 40 s</b>", "node-1", "4.8", "bridge-1", "active"):
        assert text in page, text


def test_without_redis_the_pages_say_so(settings: Any) -> None:
    settings.REDIS_URLS = ["redis://127.0.0.1:1"]
    get_cluster.cache_clear()
    admin = signed_in(is_superuser=True)
    for path in (GATEWAY, LETTERS):
        response = admin.get(path)
        assert response.status_code == 503
        assert "Redis does not answer" in response.content.decode()


def test_anonymous_people_and_users_without_permission_see_nothing(redis: Redis) -> None:
    letter = add_letter(redis)
    for path in (GATEWAY, LETTERS, f"{LETTERS}{letter}/"):
        assert Client().get(path).status_code == 302
        assert signed_in().get(path).status_code == 403


def test_disconnecting_wants_its_own_permission_and_is_recorded(redis: Redis) -> None:
    assert signed_in("view_gateway").post(f"{GATEWAY}disconnect/", {"user_id": "u"}).status_code == 403
    admin = signed_in("view_gateway", "disconnect_gateway")
    assert admin.get(f"{GATEWAY}disconnect/").status_code == 405
    with redis.pubsub() as listener:
        listener.subscribe(keys.group_channel("control"))
        listener.get_message(timeout=2)
        response = admin.post(f"{GATEWAY}disconnect/", {"user_id": "u", "revoke": "true"}, follow=True)
        assert listener.get_message(timeout=2)
    assert "Every instance was told to disconnect u." in response.content.decode()
    assert redis.exists(keys.revoked_user("u"))
    assert LogEntry.objects.get().change_message == "disconnected"
    assert "not a valid request" in admin.post(f"{GATEWAY}disconnect/", {}, follow=True).content.decode()


def test_dead_letters_are_listed_and_shown_with_all_markup_escaped(redis: Redis) -> None:
    letter = add_letter(redis, b"<script>alert(1)</script>\xff", channel="websocket:<b>")
    admin = signed_in("view_deadletterbox")
    for path in (LETTERS, f"{LETTERS}{letter}/"):
        page = admin.get(path).content.decode()
        assert "no such channel" in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\xff" in page
        assert "<script>alert" not in page
        assert "<b>" not in page.split('id="content"')[1]
    assert "Publish again" not in admin.get(f"{LETTERS}{letter}/").content.decode()


def test_dead_letters_come_in_pages(redis: Redis) -> None:
    ids = [add_letter(redis) for _ in range(60)]
    admin = signed_in("view_deadletterbox")
    first = admin.get(LETTERS).content.decode()
    assert ids[-1] in first
    assert ids[9] not in first
    assert f"?before={ids[10]}" in first
    assert ids[9] in admin.get(LETTERS, {"before": ids[10]}).content.decode()
    assert admin.get(LETTERS, {"before": "x"}).status_code == 404


@pytest.mark.parametrize("letter_id", ["1-1", "x", "1-1;FLUSHALL"])
def test_a_dead_letter_that_is_not_there_is_a_404(letter_id: str) -> None:
    assert signed_in(is_superuser=True).get(f"{LETTERS}{letter_id}/").status_code == 404


def test_a_dead_letter_is_published_again_the_way_it_came(redis: Redis) -> None:
    letter, durable = add_letter(redis), add_letter(redis, source="stream")
    admin = signed_in("view_deadletterbox", "replay_deadletterbox")
    with redis.pubsub() as listener:
        listener.subscribe("websocket:broadcast")
        listener.get_message(timeout=2)
        admin.post(f"{LETTERS}{letter}/replay/")
        message = listener.get_message(timeout=2)
    assert message is not None
    assert message["data"] == b'{"type":"x"}'
    admin.post(f"{LETTERS}{durable}/replay/")
    [(_, entry)] = redis.xrange(keys.INGRESS_STREAM)
    assert entry == {b"channel": b"websocket:broadcast", b"message": b'{"type":"x"}'}
    assert redis.xlen(keys.DEAD_LETTERS) == 0
    assert LogEntry.objects.count() == 2


def test_a_dead_letter_that_was_cut_is_not_published_again(redis: Redis) -> None:
    letter = add_letter(redis, size=1_000_000)
    admin = signed_in(is_superuser=True)
    page = admin.get(f"{LETTERS}{letter}/").content.decode()
    assert "cannot be published again" in page
    assert "/replay/" not in page
    admin.post(f"{LETTERS}{letter}/replay/")
    assert redis.xlen(keys.DEAD_LETTERS) == 1


def test_dropping_and_publishing_again_want_their_own_permissions(redis: Redis) -> None:
    letter = add_letter(redis)
    assert signed_in("view_deadletterbox", "drop_deadletterbox").post(f"{LETTERS}{letter}/replay/").status_code == 403
    assert signed_in("view_deadletterbox", "replay_deadletterbox").post(f"{LETTERS}{letter}/drop/").status_code == 403
    assert redis.xlen(keys.DEAD_LETTERS) == 1
    assert signed_in("drop_deadletterbox").post(f"{LETTERS}{letter}/drop/").status_code == 302
    assert redis.xlen(keys.DEAD_LETTERS) == 0
    assert signed_in(is_superuser=True).post(f"{LETTERS}{letter}/explode/").status_code == 404


PAGES = {
    "view_gateway": ["", "state/", "connections/", "rooms/", "settings/"],
    "publish_gateway": ["publish/"],
    "trace_gateway": ["trace/"],
}
POSTS = {"view_gateway": ["token/"], "trace_gateway": ["trace/start/", "trace/stop/"]}


def test_each_page_and_action_wants_its_own_permission() -> None:
    everything = {permission: signed_in(permission) for permission in PAGES}
    for owner, pages in PAGES.items():
        for page in pages:
            for permission, client in everything.items():
                expected = 200 if permission == owner else 403
                assert client.get(GATEWAY + page).status_code == expected, (page, permission)
    for owner, pages in POSTS.items():
        for page in pages:
            for permission, client in everything.items():
                fields = {"kind": "room", "name": "chat:1", "trace": "x"}
                expected = 200 if permission == owner else 403
                assert client.post(GATEWAY + page, fields).status_code == expected, (page, permission)
                assert client.get(GATEWAY + page).status_code == 405 or permission != owner


def test_the_state_holds_what_the_charts_draw(redis: Redis) -> None:
    admin = signed_in("view_gateway")
    state = admin.get(f"{GATEWAY}state/", {"period": "3h"}).json()
    assert len(state["points"]) == 180
    assert {"stats", "nodes", "bridges", "letters", "now"} <= set(state)
    assert admin.get(f"{GATEWAY}state/", {"period": "1y"}).status_code == 404


def test_the_pages_token_opens_one_room_and_is_nobodys_user_id() -> None:
    token = signed_in("view_gateway").post(f"{GATEWAY}token/").json()["token"]
    principal = get_verifier().verify(token)
    assert principal.rooms == ("admin:overview",)
    assert principal.user_id.startswith("admin-page:")


def test_a_trace_is_ordered_from_every_process_and_recorded(redis: Redis) -> None:
    admin = signed_in("trace_gateway")
    with redis.pubsub() as listener:
        listener.subscribe(keys.group_channel("control"))
        listener.get_message(timeout=2)
        answer = admin.post(f"{GATEWAY}trace/start/", {"kind": "user_id", "name": "42"}).json()
        heard = listener.get_message(timeout=2)
    assert heard is not None
    event = msgspec.msgpack.decode(heard["data"])
    assert (event["op"], event["user_id"], event["trace"]) == ("trace", "42", answer["trace"])
    assert get_verifier().verify(answer["token"]).rooms == (answer["room"],)
    assert LogEntry.objects.get().change_message == "traced"


@pytest.mark.parametrize("fields", [{}, {"kind": "x", "name": "1"}, {"kind": "room", "name": "admin:trace:x"}])
def test_a_trace_of_nothing_or_of_a_trace_is_refused(fields: dict[str, str]) -> None:
    assert signed_in("trace_gateway").post(f"{GATEWAY}trace/start/", fields).status_code == 400


def test_a_durable_message_goes_into_the_stream(redis: Redis) -> None:
    fields = {"kind": "user", "name": "42", "message": '{"type":"system","content":"x"}', "durable": "on", "send": "1"}
    assert signed_in("publish_gateway").post(f"{GATEWAY}publish/", fields).status_code == 302
    [(_, entry)] = redis.xrange(keys.INGRESS_STREAM)
    assert entry == {b"channel": b"websocket:user:42", b"message": b'{"type":"system","content":"x"}'}
