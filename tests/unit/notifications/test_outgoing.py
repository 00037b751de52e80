"""Building and checking messages before they are sent."""

from __future__ import annotations

import datetime as dt
import json
import time
import uuid
from typing import Any

import pytest
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st

from notifications import outgoing
from notifications.errors import InvalidMessage, NotificationError
from realtime.bridge.router import route
from realtime.conf import RealtimeSettings

CONF = RealtimeSettings()
names = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=512)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)


def untyped(value: Any) -> Any:
    """Hide a wrong type from the type checker."""
    return value


def decoded(message: outgoing.Outgoing) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(message.payload)
    return value


def test_a_notification_is_the_contracts_message():
    before = int(time.time())
    built = outgoing.notification(
        42, "Paid", "Order 7", icon="/i.png", link="/orders/7", category="orders", data={"n": 1}, id="pay-7"
    )
    fields = decoded(built)
    assert before <= fields.pop("timestamp") <= time.time()
    assert built.channel == "websocket:notification:42"
    assert built.id == "pay-7"
    assert fields == {
        "type": "notification",
        "id": "pay-7",
        "content": {
            "title": "Paid",
            "body": "Order 7",
            "icon": "/i.png",
            "link": "/orders/7",
            "category": "orders",
            "data": {"n": 1},
        },
        "data": {"notification_id": "pay-7", "read": False},
    }


def test_what_is_not_given_is_not_sent():
    assert decoded(outgoing.notification(1, "a", "b"))["content"] == {"title": "a", "body": "b"}
    assert set(decoded(outgoing.message(1, "hi"))) == {"type", "id", "content", "timestamp"}


@pytest.mark.parametrize(
    ("built", "channel", "kind", "content"),
    [
        (outgoing.broadcast_notification("a", "b"), "broadcast", "notification", {"title": "a", "body": "b"}),
        (outgoing.message("u:1", {"x": 1}), "user:u:1", "chat", {"x": 1}),
        (outgoing.room_message("chat:room001", "hi"), "room:chat:room001", "room_message", "hi"),
        (outgoing.broadcast("news", type="system"), "broadcast", "system", "news"),
        (
            outgoing.data_update("user", "create", id=7, data={"a": 1}),
            "broadcast",
            "data_update",
            {"entity": "user", "action": "create", "id": 7, "data": {"a": 1}},
        ),
    ],
)
def test_each_builder_has_its_channel_type_and_content(built, channel, kind, content):
    assert (built.channel, built.type) == (f"websocket:{channel}", kind)
    assert decoded(built)["content"] == content


def test_a_sender_can_be_named():
    fields = decoded(outgoing.room_message("r", "hi", from_=7, from_name="Ada"))
    assert (fields["from"], fields["from_name"]) == ("7", "Ada")


def test_every_message_gets_an_id_of_its_own():
    assert outgoing.notification(1, "a", "b").id != outgoing.notification(1, "a", "b").id


@pytest.mark.parametrize(("given_id", "text"), [(7, "7"), ("ü:1", "ü:1"), (uuid.UUID(int=1), str(uuid.UUID(int=1)))])
def test_user_ids_may_be_text_numbers_and_uuids(given_id, text):
    assert outgoing.notification(given_id, "a", "b").channel == f"websocket:notification:{text}"


def test_python_values_become_plain_json():
    value = {"at": dt.datetime(2026, 1, 2, tzinfo=dt.UTC), "id": uuid.UUID(int=5), "label": gettext_lazy("Yes")}
    assert decoded(outgoing.broadcast(value))["content"] == {
        "at": "2026-01-02T00:00:00Z",
        "id": str(uuid.UUID(int=5)),
        "label": "Yes",
    }


def test_a_lazy_translation_may_be_a_title():
    assert decoded(outgoing.notification(1, untyped(gettext_lazy("Yes")), "b"))["content"]["title"] == "Yes"


def nested(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


def endless() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: outgoing.notification("", "a", "b"), "user_id must be a non-empty string"),
        (lambda: outgoing.notification(True, "a", "b"), "user_id must be a non-empty string"),
        (lambda: outgoing.notification(untyped(None), "a", "b"), "user_id must be a non-empty string"),
        (lambda: outgoing.notification("x" * 513, "a", "b"), "at most 512 characters"),
        (lambda: outgoing.notification("a\nb", "a", "b"), "control characters"),
        (lambda: outgoing.notification("\ud800", "a", "b"), "control characters"),
        (lambda: outgoing.room_message("", "a"), "a room name must be"),
        (lambda: outgoing.notification(1, untyped(None), "b"), "title must be a string, not NoneType"),
        (lambda: outgoing.notification(1, "a", untyped(b"b")), "body must be a string, not bytes"),
        (lambda: outgoing.notification(1, "a", "b", link=untyped(5)), "link must be a string"),
        (lambda: outgoing.notification(1, "a", "b", id=""), "id must be a non-empty string"),
        (lambda: outgoing.notification(1, "a", "b", id="x" * 129), "at most 128"),
        (lambda: outgoing.message(1, "a", type=""), "type must be a non-empty string"),
        (lambda: outgoing.message(1, "a", data=untyped([1])), "data must be a dict, not list"),
        (lambda: outgoing.data_update("", "create"), "entity must not be empty"),
        (lambda: outgoing.broadcast("\ud800"), "surrogates not allowed"),
        (lambda: outgoing.broadcast(float("nan")), "NaN and infinity are not JSON"),
        (lambda: outgoing.broadcast({"x": [None, float("-inf")]}), "NaN and infinity are not JSON"),
        (lambda: outgoing.broadcast(2**70), "an integer is out of range"),
        (lambda: outgoing.broadcast({1: "a", "1": "b"}), "a key stands twice"),
        (lambda: outgoing.broadcast(object()), "an object of type object is not JSON"),
        (lambda: outgoing.broadcast(endless()), "recursion"),
        (lambda: outgoing.broadcast(nested(64)), "nested deeper than 64"),
        (lambda: outgoing.broadcast("x" * 2**20), "at most 1048576 are allowed"),
    ],
)
def test_what_the_gateway_would_not_take_is_refused_with_its_reason(build, reason):
    with pytest.raises(InvalidMessage, match=reason) as caught:
        build()
    assert isinstance(caught.value, NotificationError)
    assert isinstance(caught.value, ValueError)


def test_null_is_not_taken_for_nan():
    assert decoded(outgoing.broadcast({"x": None, "y": "null"}))["content"] == {"x": None, "y": "null"}


def test_a_refusal_does_not_quote_the_message():
    with pytest.raises(InvalidMessage) as caught:
        outgoing.broadcast("my secret \ud800")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_the_body_does_not_show_in_a_repr():
    assert "secret" not in repr(outgoing.notification(1, "secret", "secret"))


@given(user=names, content=json_values)
def test_the_bridge_takes_whatever_is_built(user, content):
    built = outgoing.message(user, content)
    routed = route(built.channel.encode(), built.payload, CONF)
    assert (routed.user_id, routed.message_id) == (user, built.id)
    assert json.loads(routed.text)["content"] == content
