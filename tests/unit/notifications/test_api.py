"""The REST API under ``/api/v1/notifications/``."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from notifications import services
from notifications.models import StoredMessage
from notifications.offline import DatabaseOfflineStore
from realtime.auth.rest import RequestUser
from realtime.registry import OfflineMessage

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/api/v1/notifications/"


def api(user_id: str = "42", *, is_staff: bool = False) -> APIClient:
    found = APIClient()
    user: Any = RequestUser(user_id, f"name-{user_id}", is_staff)
    found.force_authenticate(user)
    return found


def get(path: str = "", user_id: str = "42", status: int = 200, **query: Any) -> Any:
    answer = api(user_id).get(URL + path, query)
    assert answer.status_code == status, answer.content
    return answer.json()


def post(path: str, body: Any = None, *, user_id: str = "42", is_staff: bool = False, status: int = 200) -> Any:
    answer = api(user_id, is_staff=is_staff).post(URL + path, body, format="json")
    assert answer.status_code == status, answer.content
    return answer.json()


def ids(listed: dict[str, Any]) -> list[str]:
    return [row["id"] for row in listed["results"]]


@pytest.fixture
def stored(client) -> None:
    """Of user 42: a read one of yesterday, two unread notifications, a chat; and one of somebody else."""
    old = services.notify("42", "a", "b", id="old", category="orders")
    StoredMessage.objects.filter(pk=old.pk).update(
        created_at=timezone.now() - dt.timedelta(days=1), read_at=timezone.now()
    )
    services.notify("42", "Paid", "Order 7", id="paid", category="orders", link="/orders/7")
    services.notify("42", "Sale", "All of it", id="sale", category="news")
    chat = {"type": "chat", "id": "chat", "from": "7", "from_name": "Ada", "content": "hi", "data": {}, "timestamp": 5}
    DatabaseOfflineStore().store(
        [
            OfflineMessage(
                user_id="42",
                message_id="chat",
                type="chat",
                text=json.dumps(chat),
                accepted_at=timezone.now().timestamp(),
            )
        ]
    )
    services.notify("43", "a", "b", id="foreign")
    client.sent.clear()


# Reading


@pytest.mark.parametrize(
    ("method", "path"), [("get", ""), ("get", "unread-count/"), ("post", "read-all/"), ("delete", "x/"), ("get", "x/")]
)
def test_without_a_token_there_is_nothing_to_see(method, path):
    assert getattr(APIClient(), method)(URL + path).status_code == 401


def test_a_list_holds_the_callers_messages_newest_first(stored):
    listed = get()
    assert ids(listed) == ["chat", "sale", "paid", "old"]
    paid = listed["results"][2]
    assert paid["type"] == "notification"
    assert paid["content"] == {"title": "Paid", "body": "Order 7", "link": "/orders/7", "category": "orders"}
    assert paid["data"] == {"notification_id": "paid", "read": False}
    assert (paid["read"], paid["read_at"], paid["from"]) == (False, None, None)
    chat = listed["results"][0]
    assert (chat["from"], chat["from_name"], chat["content"], chat["timestamp"]) == ("7", "Ada", "hi", 5)
    assert listed["results"][3]["read"] is True


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"unread": "true"}, ["chat", "sale", "paid"]),
        ({"unread": "false"}, ["old"]),
        ({"type": "chat"}, ["chat"]),
        ({"category": "orders"}, ["paid", "old"]),
        ({"category": "orders", "unread": "1"}, ["paid"]),
    ],
)
def test_a_list_can_be_filtered(stored, query, found):
    assert ids(get(**query)) == found


def test_a_list_can_begin_at_a_time_in_either_notation(stored):
    hour_ago = timezone.now() - dt.timedelta(hours=1)
    for since in (hour_ago.isoformat(), int(hour_ago.timestamp()), hour_ago.timestamp()):
        assert ids(get(since=since)) == ["chat", "sale", "paid"]


@pytest.mark.parametrize("query", [{"since": "yesterday"}, {"since": "nan"}, {"unread": "maybe"}])
def test_a_senseless_filter_is_answered_with_its_name(query):
    assert set(get(status=400, **query)) == set(query)


def test_pages_follow_each_other_while_new_messages_come_in(stored):
    first = get(page_size=2)
    services.notify("42", "a", "b", id="new")
    second = api().get(first["next"]).json()
    assert ids(first) + ids(second) == ["chat", "sale", "paid", "old"]
    assert second["next"] is None


def test_unread_messages_are_counted(stored):
    assert get("unread-count/") == {"unread": 3}
    assert get("unread-count/", user_id="nobody") == {"unread": 0}


def test_one_message_can_be_shown_to_its_owner_only(stored):
    assert get("paid/")["content"]["title"] == "Paid"
    get("foreign/", status=404)


# Changing


def test_one_message_is_marked_as_read_and_again_is_harmless(stored, client):
    assert post("paid/read/") == {"changed": 1, "unread": 2}
    assert post("paid/read/") == {"changed": 0, "unread": 2}
    assert [(channel, message["content"]["action"]) for channel, message in client.told] == [
        ("websocket:user:42", "read")
    ]


def test_many_messages_are_marked_as_read(stored):
    assert post("read/", {"ids": ["paid", "sale", "foreign"]}) == {"changed": 2, "unread": 1}
    assert services.unread_count("43") == 1


def test_all_messages_are_marked_as_read(stored):
    assert post("read-all/") == {"changed": 3, "unread": 0}


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": "x"}, {"ids": [None]}, {"ids": ["x"] * 501}, [], "x"])
def test_ids_that_are_none_are_refused(body):
    for path in ("read/", "delete/"):
        post(path, body, status=400)


def test_one_message_is_deleted_once(stored):
    assert api().delete(URL + "paid/").status_code == 204
    assert api().delete(URL + "paid/").status_code == 404
    assert ids(get()) == ["chat", "sale", "old"]


def test_many_messages_are_deleted(stored):
    assert post("delete/", {"ids": ["paid", "sale", "foreign"]}) == {"changed": 2, "unread": 1}


def test_what_belongs_to_somebody_else_can_be_neither_read_nor_deleted(stored):
    post("foreign/read/", status=404)
    assert api().delete(URL + "foreign/").status_code == 404
    assert StoredMessage.objects.get(message_id="foreign").read_at is None


def test_reading_works_while_redis_is_down(stored, client):
    client.down = True
    assert post("read-all/")["unread"] == 0


# Sending


STAFF_CALLS = [
    ("send/user/", {"user_id": "7", "title": "a", "body": "b"}),
    ("send/room/", {"room": "chat:1", "content": {"x": 1}}),
    ("send/all/", {"title": "a", "body": "b"}),
    ("data-update/", {"entity": "order", "action": "paid"}),
]


@pytest.mark.parametrize(("path", "body"), STAFF_CALLS)
def test_only_staff_send(client, path, body):
    post(path, body, status=403)
    assert client.sent == []


@pytest.mark.parametrize(("path", "body"), STAFF_CALLS)
def test_a_redis_that_is_down_is_a_503(client, path, body):
    client.down = True
    assert post(path, body, is_staff=True, status=503)["detail"]


def test_staff_notify_a_user_and_it_is_stored(client):
    body = {"user_id": "7", "title": "Hi", "body": "", "category": "x", "data": {"n": [1]}, "id": "mine", "icon": None}
    assert post("send/user/", body, is_staff=True, status=202) == {"id": "mine"}
    [(channel, message)] = client.told
    assert channel == "websocket:notification:7"
    assert message["content"] == {"title": "Hi", "body": "", "category": "x", "data": {"n": [1]}}
    assert ids(get(user_id="7")) == ["mine"]


def test_staff_may_leave_the_storing_out(client):
    post("send/user/", {"user_id": "7", "title": "a", "body": "b", "store": False}, is_staff=True, status=202)
    assert len(client.sent) == 1
    assert not StoredMessage.objects.exists()


def test_staff_send_to_a_room_in_their_own_name(client):
    sent = post("send/room/", {"room": "chat:1", "content": {"x": 1}, "durable": True}, is_staff=True, status=202)
    [(channel, message)] = client.told
    assert channel == "websocket:room:chat:1"
    assert client.sent[0].durable
    assert message["id"] == sent["id"]
    assert (message["type"], message["content"]) == ("room_message", {"x": 1})
    assert (message["from"], message["from_name"]) == ("42", "name-42")


def test_staff_notify_everybody_and_tell_of_changes(client):
    post("send/all/", {"title": "a", "body": "b"}, is_staff=True, status=202)
    post("data-update/", {"entity": "user", "action": "create", "id": 7, "data": {"a": 1}}, is_staff=True, status=202)
    assert [(channel, message["type"]) for channel, message in client.told] == [
        ("websocket:broadcast", "notification"),
        ("websocket:broadcast", "data_update"),
    ]
    assert client.told[1][1]["content"] == {"entity": "user", "action": "create", "id": 7, "data": {"a": 1}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("send/user/", {"title": "a", "body": "b"}),
        ("send/user/", {"user_id": "a\u0007b", "title": "a", "body": "b"}),
        ("send/user/", {"user_id": "x" * 513, "title": "a", "body": "b"}),
        ("send/user/", {"user_id": "7", "title": "", "body": "b"}),
        ("send/user/", {"user_id": "7", "title": "a", "body": "x" * 2**20}),
        ("send/room/", {"room": "r"}),
        ("send/room/", {"room": "", "content": 1}),
        ("send/room/", {"room": "r", "content": "x", "type": "x" * 65}),
        ("send/all/", {"body": "b"}),
        ("data-update/", {"action": "paid"}),
        ("data-update/", {"entity": "a", "action": "b", "data": 2**70}),
    ],
)
def test_what_the_gateway_would_not_take_is_a_400_with_the_reason(client, path, body):
    assert post(path, body, is_staff=True, status=400)
    assert client.sent == []


HOSTILE = {
    "nested too deep": b'{"entity":"a","action":"b","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a huge integer": b'{"entity":"a","action":"b","data":' + b"9" * 5000 + b"}",
    "not a number": b'{"entity":"a","action":"b","data":NaN}',
    "a lone surrogate": b'{"entity":"a","action":"b","data":"\\ud800"}',
    "infinity": b'{"entity":"a","action":"b","data":1e999}',
    "not JSON": b"{",
    "not UTF-8": b'{"entity":"\xff"}',
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_json_is_a_400(client, body):
    answer = api(is_staff=True).post(URL + "data-update/", body, content_type="application/json")
    assert answer.status_code == 400
    assert client.sent == []


def test_a_body_larger_than_any_message_is_refused_unread(client):
    answer = api(is_staff=True).post(URL + "data-update/", b" " * 2_097_153, content_type="application/json")
    assert answer.status_code == 413
