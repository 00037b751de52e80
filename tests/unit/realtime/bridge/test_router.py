"""What each payload of each ingress channel becomes (DESIGN 2.3), and what is refused."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime.bridge.router import Refused, Routed, route
from realtime.conf import RealtimeSettings
from realtime.groups import room_group, user_group

CONF = RealtimeSettings()
NOW = 1_700_000_000.9


def routed(payload: object, channel: str = "websocket:broadcast") -> Routed:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return route(channel.encode(), data, CONF, now=NOW, make_id=lambda: "fresh")


def text(payload: object, channel: str = "websocket:broadcast") -> dict:
    return json.loads(routed(payload, channel).text)


def reason(payload: object, channel: str = "websocket:broadcast") -> str:
    with pytest.raises(Refused) as refused:
        routed(payload, channel)
    assert str(refused.value)
    return refused.value.reason


def test_a_bare_broadcast_is_completed_with_id_and_timestamp():
    payload = b'{"type":"data_update","content":{"entity":"user","action":"create"}}'
    assert text(payload) == {
        "type": "data_update",
        "id": "fresh",
        "content": {"entity": "user", "action": "create"},
        "timestamp": 1_700_000_000,
        "data": {},
    }
    assert routed(payload).group == "broadcast"
    assert routed(payload).id_given is False


def test_an_envelope_is_unwrapped():
    assert text({"message": {"type": "system", "content": "hi"}})["content"] == "hi"


def test_a_message_with_a_type_and_a_field_message_is_no_envelope():
    message = text({"type": "system", "content": "outer", "message": {"type": "x", "content": "inner"}})
    assert (message["type"], message["content"]) == ("system", "outer")


@pytest.mark.parametrize("inner", [None, 1, "text", [1]])
@pytest.mark.parametrize("channel", ["websocket:broadcast", "websocket:notification:u1"])
def test_an_envelope_without_a_message_is_refused(inner, channel):
    assert reason({"message": inner}, channel) == "envelope"


def test_a_user_channel_sets_the_recipient():
    result = routed({"type": "chat", "content": "hi", "to": "somebody else"}, "websocket:user:u1")
    assert (result.group, result.user_id) == (user_group("u1"), "u1")
    assert json.loads(result.text)["to"] == "u1"


def test_a_user_id_may_hold_colons():
    assert text({"type": "chat"}, "websocket:user:org:7")["to"] == "org:7"


def test_a_room_name_is_everything_behind_the_prefix():
    result = routed({"type": "room_message", "content": 1}, "websocket:room:chat:room001")
    assert (result.group, result.user_id) == (room_group("chat:room001"), None)
    assert json.loads(result.text)["room"] == "chat:room001"


def test_a_notification_is_always_of_that_type_and_carries_its_id_and_that_it_is_unread():
    message = text({"type": "anything", "id": "n1", "content": {"title": "t"}}, "websocket:notification:u1")
    assert message["type"] == "notification"
    assert message["to"] == "u1"
    assert message["data"] == {"notification_id": "n1", "read": False}


def test_a_notification_needs_no_type_when_it_has_content():
    assert text({"content": {"title": "t"}}, "websocket:notification:u1")["data"]["notification_id"] == "fresh"


def test_a_notification_with_neither_type_nor_content_is_refused():
    assert reason({}, "websocket:notification:u1") == "type"


def test_a_notification_keeps_what_its_publisher_said_about_it():
    data = {"notification_id": 7, "read": True, "more": 1}
    assert text({"content": 1, "data": data}, "websocket:notification:u1")["data"] == data


@pytest.mark.parametrize(("given_id", "becomes"), [("a b", "a b"), (5, "5"), (0, "0"), (-3, "-3"), (2**63, str(2**63))])
def test_an_id_is_kept_as_text(given_id, becomes):
    result = routed({"type": "x", "id": given_id})
    assert (result.message_id, result.id_given, result.dedupe_id) == (becomes, True, "i:" + becomes)
    assert json.loads(result.text)["id"] == becomes


@pytest.mark.parametrize("absent", [None, ""])
def test_zero_values_of_a_go_service_count_as_absent(absent):
    message = text({"type": "x", "id": absent, "from": absent, "from_name": absent, "timestamp": 0, "data": None})
    assert message == {"type": "x", "id": "fresh", "content": None, "timestamp": 1_700_000_000, "data": {}}


@pytest.mark.parametrize("field", ["id", "from"])
@pytest.mark.parametrize("value", [True, False, 1.5, [], {}, "tab\there", "x" * 513])
def test_an_identifier_of_another_kind_is_refused(field, value):
    assert reason({"type": "x", field: value}) == field


def test_a_name_of_another_kind_is_refused():
    assert reason({"type": "x", "from_name": 5}) == "from_name"


def test_the_sender_is_kept_when_given():
    message = text({"type": "chat", "from": 17, "from_name": "Ann"}, "websocket:user:u1")
    assert (message["from"], message["from_name"]) == ("17", "Ann")


@pytest.mark.parametrize(
    "value",
    [1_699_999_999, 1_699_999_999.75, 1_699_999_999_123, 1_699_999_999_123_456, 1_699_999_999_123_456_789],
)
def test_a_timestamp_is_kept_as_whole_seconds(value):
    assert text({"type": "x", "timestamp": value})["timestamp"] == 1_699_999_999


@pytest.mark.parametrize("value", [True, False, -1, "1700000000", [], {}])
def test_a_timestamp_that_is_none_is_refused(value):
    assert reason({"type": "x", "timestamp": value}) == "timestamp"


@pytest.mark.parametrize("value", [1, "x", [], True])
def test_data_that_is_no_object_is_refused(value):
    assert reason({"type": "x", "data": value}) == "data"


def test_a_publisher_cannot_forge_a_stream_position():
    assert text({"type": "x", "data": {"stream": {"offset": 1}, "a": 1}})["data"] == {"a": 1}


def test_addresses_of_the_publisher_are_kept_on_a_broadcast_only_as_text():
    assert text({"type": "x", "to": "a", "room": "b"})["to"] == "a"
    assert "to" not in text({"type": "x", "to": 5, "room": ["b"]})
    assert "room" not in text({"type": "x", "to": 5, "room": ["b"]})


def test_every_text_ends_in_the_data_object_for_the_stream_position():
    assert routed({"type": "x", "data": {"a": {}}, "timestamp": 5}).text.endswith(b'"data":{"a":{}}}')
    assert routed({"type": "x"}).text.endswith(b'"data":{}}')


@pytest.mark.parametrize("kind", [None, "", 5, True, ["x"], "x" * 65])
def test_a_type_must_be_a_short_text(kind):
    assert reason({"type": kind, "content": 1}) == "type"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"hello",
        b"[]",
        b'"text"',
        b"null",
        b'{"type":"x"',
        b'{"type":"x"} {}',
        b'{"type":"x","content":NaN}',
        b'{"type":"x","content":-Infinity}',
        b'{"type":"x","content":1e999}',
        b'{"type":"x","content":' + b"1" * 5000 + b"}",
        b'{"type":"x","content":' + b"[" * 2000 + b"]" * 2000 + b"}",
        b'{"type":"x","content":' + b'{"a":' * 2000 + b"1" + b"}" * 2000 + b"}",
        b'{"type":"x","content":"\\ud800"}',
        b'{"type":"x","content":"\xff"}',
        b'{"type":"x","type":"y"}',
        b'{"type":"x","content":{"a":1,"a":2}}',
    ],
)
def test_what_is_not_strict_json_is_refused(payload):
    assert reason(payload) == "json"


def test_an_object_without_a_type_is_refused():
    assert reason({"content": 1}) == "type"


def test_a_payload_over_the_cap_is_refused_before_it_is_read():
    assert reason(b"x" * 2_000_000) == "size"


@pytest.mark.parametrize(
    "channel",
    [b"websocket:", b"websocket:xyz", b"websocket:users:1", b"websocket:broadcast:x", b"other", b"websocket:user:\xff"],
)
def test_an_unknown_channel_is_refused(channel):
    with pytest.raises(Refused) as refused:
        route(channel, b'{"type":"x"}', CONF)
    assert refused.value.reason == "channel"


@pytest.mark.parametrize("kind", ["user", "room", "notification"])
@pytest.mark.parametrize("name", ["", "x" * 513, "a\nb", "a\x7f"])
def test_a_user_id_or_room_name_that_is_none_is_refused(kind, name):
    assert reason({"type": "x"}, f"websocket:{kind}:{name}") == "name"


busy_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ("type", "id", "from", "from_name", "to", "room", "content", "data", "timestamp", "message")
fields = st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, json_values))
names = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=512)


@busy_machine
@given(payload=fields, kind=st.sampled_from(["broadcast", "user:u", "room:r", "notification:u", "nowhere"]))
def test_any_object_is_routed_or_refused_and_a_routed_one_is_a_whole_message(payload, kind):
    try:
        result = routed(payload, f"websocket:{kind}")
    except Refused:
        return
    message = json.loads(result.text)
    assert isinstance(message["type"], str)
    assert message["type"]
    assert isinstance(message["timestamp"], int)
    assert isinstance(message["id"], str)
    assert message["id"]
    assert "content" in message
    assert list(message)[-1] == "data"


@busy_machine
@given(payload=st.binary(max_size=200))
def test_any_bytes_are_routed_or_refused(payload):
    with contextlib.suppress(Refused):
        routed(payload)


@busy_machine
@given(name=names)
def test_any_name_reaches_its_own_group(name):
    assert routed({"type": "x"}, f"websocket:user:{name}").group == user_group(name)
    assert routed({"type": "x"}, f"websocket:room:{name}").group == room_group(name)
    assert text({"type": "x"}, f"websocket:room:{name}")["room"] == name


@busy_machine
@given(content=json_values)
def test_content_arrives_unchanged(content):
    assert text({"type": "x", "content": content})["content"] == content
