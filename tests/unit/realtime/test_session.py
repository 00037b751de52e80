"""One connection without I/O: whatever a client sends, effects come out and never an exception."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from realtime.codes import CloseCode, ErrorCode
from realtime.conf import RealtimeSettings
from realtime.protocol import CLIENT_TYPES, SERVER_TYPES
from realtime.registry import message_type, unregister
from realtime.sequencer import Position
from realtime.session import (
    Chat,
    Close,
    Custom,
    Join,
    Leave,
    RefreshToken,
    Reply,
    Resume,
    RoomSend,
    Session,
    stream_content,
    stream_of_room,
)
from tests.unit.realtime.doubles import holder

EFFECTS = (Reply, Close, Chat, RoomSend, Join, Leave, Resume, RefreshToken, Custom)
CONF = RealtimeSettings()


def open_session(conf: RealtimeSettings = CONF, *, rooms: tuple[str, ...] = (), **claims: Any) -> Session:
    session = Session(holder(**claims), "c1", conf, 0.0)
    if rooms:
        session.rooms = dict.fromkeys(rooms, 0)
    return session


def send(session: Session, now: float = 0.0, **message: Any) -> Any:
    return session.receive(json.dumps(message).encode(), now)


def reply(effect: Any) -> dict[str, Any]:
    assert isinstance(effect, Reply)
    return json.loads(effect.text)


def refusal(effect: Any) -> int:
    frame = reply(effect)
    assert frame["type"] == "error"
    assert frame["content"]["level"] == "error"
    assert isinstance(frame["content"]["code"], int)
    assert frame["content"]["message"]
    assert isinstance(frame["timestamp"], int)
    return frame["content"]["code"]


# Ping, pong, ack


def test_ping_is_answered_with_pong_and_its_id():
    frame = reply(send(open_session(), type="ping", id="p1"))
    assert (frame["type"], frame["id"], frame["content"]) == ("pong", "p1", None)
    assert isinstance(frame["timestamp"], int)
    assert "id" not in reply(send(open_session(), type="ping"))


def test_a_numeric_id_is_echoed_as_a_number():
    assert reply(send(open_session(), type="ping", id=0))["id"] == 0


def test_pong_and_ack_need_no_answer():
    assert send(open_session(), type="pong") is None
    assert send(open_session(), type="ack", id="x") is None
    assert send(open_session(), type="ack") is None


# Chat


def test_chat_goes_to_the_user_with_the_senders_real_name():
    effect = send(
        open_session(), type="chat", to="9", content="hi", id="m1", timestamp=1, data={"mood": "good"},
        from_name="Eve", room="x", **dict[str, Any]({"from": "1"}),
    )  # fmt: skip
    assert isinstance(effect, Chat)
    assert (effect.user_id, effect.message_id, effect.request) == ("9", "m1", "m1")
    message = json.loads(effect.text)
    assert (message["from"], message["from_name"], message["to"]) == ("7", "Ann", "9")
    assert (message["content"], message["data"], "room" in message) == ("hi", {"mood": "good"}, False)
    assert message["timestamp"] > 1_600_000_000


def test_a_user_without_a_name_is_called_by_the_id():
    effect = send(open_session(username=""), type="chat", to="9", content="hi")
    assert json.loads(effect.text)["from_name"] == "7"


def test_chat_without_an_id_gets_one_and_is_never_a_repetition():
    effect = send(open_session(), type="chat", to=9, content="hi")
    assert (effect.user_id, effect.dedupe_id, effect.request) == ("9", None, None)
    assert json.loads(effect.text)["id"] == effect.message_id


def test_the_same_message_again_is_recognised_another_under_the_same_id_is_not():
    def key(session: Session, **message: Any) -> Any:
        return send(session, type="chat", id=1, **message).dedupe_id

    one = key(open_session(), to="9", content="a")
    assert one == key(open_session(), to="9", content="a")
    others = {
        key(open_session(), to="9", content="b"),
        key(open_session(), to="8", content="a"),
        key(open_session(user_id="8"), to="9", content="a"),
    }
    assert len(others | {one}) == 4


@pytest.mark.parametrize("to", [None, "", [], {}, True, 1.5, "x" * 513, "a\x00b"])
def test_chat_to_nobody_is_refused_with_422(to):
    assert refusal(send(open_session(), type="chat", to=to, content="hi", id=5)) == ErrorCode.INVALID


def test_chat_without_content_is_refused_with_422():
    assert refusal(send(open_session(), type="chat", to="9")) == ErrorCode.INVALID


def test_data_that_is_no_object_is_refused_with_422():
    assert refusal(send(open_session(), type="chat", to="9", content="x", data=[])) == ErrorCode.INVALID


@pytest.mark.parametrize("content", ["", 0, False, [], {}, "text", {"a": [1]}])
def test_content_may_be_any_value_but_null(content):
    assert json.loads(send(open_session(), type="chat", to="9", content=content).text)["content"] == content


# Rooms


def test_a_member_sends_to_the_room():
    effect = send(open_session(rooms=("r",)), type="room_message", room="r", content="hi", to="9", id="m")
    assert isinstance(effect, RoomSend)
    message = json.loads(effect.text)
    assert (effect.room, message["room"], message["from"], "to" in message) == ("r", "r", "7", False)


def test_only_members_may_send_to_a_room():
    assert refusal(send(open_session(), type="room_message", room="r", content="hi")) == ErrorCode.FORBIDDEN
    assert refusal(send(open_session(rooms=("R",)), type="room_message", room="r", content="x")) == ErrorCode.FORBIDDEN


def test_join_and_leave_carry_the_room_as_content():
    assert send(open_session(), type="join_room", content="chat:room001", id=1) == Join("chat:room001", 1)
    assert send(open_session(), type="leave_room", content="chat:room001") == Leave("chat:room001", None)


@pytest.mark.parametrize("kind", ["join_room", "leave_room"])
@pytest.mark.parametrize("room", [None, "", 7, [], {"room": "r"}, "x" * 513, "\x1b", "a\nb"])
def test_a_room_that_is_no_name_is_refused_with_422(kind, room):
    assert refusal(send(open_session(), type=kind, content=room)) == ErrorCode.INVALID


def test_more_rooms_than_allowed_are_refused_but_one_joined_already_may_be_joined_again():
    session = open_session(RealtimeSettings(max_rooms=2), rooms=("a", "b"))
    assert refusal(send(session, type="join_room", content="c")) == ErrorCode.FORBIDDEN
    assert isinstance(send(session, type="join_room", content="a"), Join)


# Resume


def test_resume_names_streams_and_positions():
    effect = send(
        open_session(), type="resume", id="r",
        content={"streams": {"user": {"epoch": "ab12", "offset": 41}, "room:chat:1": {"epoch": "cd", "offset": 0}}},
    )  # fmt: skip
    assert effect == Resume({"user": Position("ab12", 41), "room:chat:1": Position("cd", 0)}, "r")


@pytest.mark.parametrize(
    "content",
    [
        None, "x", [], {}, {"streams": None}, {"streams": []}, {"streams": {"nobody": {"epoch": "a", "offset": 1}}},
        {"streams": {"user": None}}, {"streams": {"user": {"epoch": "a"}}}, {"streams": {"user": {"offset": 1}}},
        {"streams": {"user": {"epoch": 1, "offset": 1}}}, {"streams": {"user": {"epoch": "a", "offset": "1"}}},
        {"streams": {"user": {"epoch": "a", "offset": True}}}, {"streams": {"user": {"epoch": "a", "offset": 1.5}}},
        {"streams": {"room:": {"epoch": "a", "offset": 1}}}, {"streams": {"room:\n": {"epoch": "a", "offset": 1}}},
        {"streams": {f"room:{n}": {"epoch": "a", "offset": 1} for n in range(200)}},
    ],
)  # fmt: skip
def test_a_resume_that_makes_no_sense_is_refused_with_422(content):
    assert refusal(send(open_session(), type="resume", content=content)) == ErrorCode.INVALID


@pytest.mark.parametrize(("epoch", "offset"), [("a b", 1), ("'", 1), ("", 1), ("x" * 65, 1), ("a", -1), ("a", 2**53)])
def test_a_position_that_cannot_be_is_one_that_is_not_known(epoch, offset):
    effect = send(open_session(), type="resume", content={"streams": {"user": {"epoch": epoch, "offset": offset}}})
    assert effect == Resume({"user": Position("none", 0)}, None)


def test_resume_opens_no_more_rooms_than_joining_would():
    session = open_session(RealtimeSettings(max_rooms=2), rooms=("a", "b"))
    position = {"epoch": "x", "offset": 1}
    again = send(session, type="resume", content={"streams": {"room:a": position, "user": position}})
    assert isinstance(again, Resume)
    assert refusal(send(session, type="resume", content={"streams": {"room:c": position}})) == ErrorCode.FORBIDDEN


# Tokens, custom types


def test_a_fresh_token_is_taken_as_text_or_in_an_object():
    assert send(open_session(), type="refresh_token", content="t", id=1) == RefreshToken("t", 1)
    assert send(open_session(), type="refresh_token", content={"token": "t"}) == RefreshToken("t", None)
    for bad in (None, "", {}, {"token": 1}, []):
        assert refusal(send(open_session(), type="refresh_token", content=bad)) == ErrorCode.INVALID


def test_a_registered_type_goes_to_its_handler_and_counts_under_its_name():
    async def handler(context: Any) -> None:
        """Do nothing."""

    message_type("order.watch")(handler)
    try:
        session = open_session()
        effect = send(session, type="order.watch", content=1, id="o")
        assert isinstance(effect, Custom)
        assert (effect.message.content, effect.message.id, session.last_type) == (1, "o", "order.watch")
    finally:
        unregister("order.watch")
    assert refusal(send(open_session(), type="order.watch")) == ErrorCode.MALFORMED


# What a client may not send


@pytest.mark.parametrize("kind", sorted(SERVER_TYPES))
def test_what_only_the_server_sends_is_refused_with_403(kind):
    assert refusal(send(open_session(), type=kind, content="x")) == ErrorCode.FORBIDDEN


def test_an_unknown_type_is_refused_with_400_and_the_known_ones_are_named():
    frame = reply(send(open_session(), type="teleport", id="t"))
    assert (frame["content"]["code"], frame["id"]) == (400, "t")
    for kind in CLIENT_TYPES:
        assert kind in frame["content"]["message"]


def test_a_type_never_seen_is_counted_as_unknown():
    session = open_session()
    send(session, type="x" * 100)
    assert session.last_type == "unknown"
    send(session, type="chat", to="1", content="x")
    assert session.last_type == "chat"
    session.receive(b"{", 0)
    assert session.last_type == "unknown"


def test_a_refused_message_gets_its_id_back_even_when_the_rest_is_wrong():
    assert reply(send(open_session(), type=5, id="x"))["id"] == "x"
    assert reply(send(open_session(), type="chat", to=[], id=17, content=1))["id"] == 17
    assert "id" not in reply(send(open_session(), type="chat", to="1", content=1, id=[]))


def test_a_message_over_the_limit_closes_with_1009():
    effect = send(open_session(), type="chat", to="1", content="x" * 524_288)
    assert isinstance(effect, Close)
    assert effect.code is CloseCode.TOO_BIG


def test_a_message_of_exactly_the_limit_is_taken_and_fits_to_be_delivered():
    payload = json.dumps({"type": "chat", "to": "1", "content": ""}).encode()
    payload = payload.replace(b'""', b'"' + b"x" * (524_288 - len(payload)) + b'"')
    assert len(payload) == 524_288
    assert isinstance(open_session().receive(payload, 0), Chat)


def test_the_largest_message_fits_to_be_delivered_whatever_its_characters():
    room = b'{"type":"chat","to":"1","content":"%b"}'
    payload = room % ("日".encode() * ((524_288 - len(room) + 2) // 3))
    assert isinstance(open_session().receive(payload, 0), Chat)


# Rate


def test_a_hundred_messages_pass_at_once_and_the_next_is_told_429_and_dropped():
    session = open_session()
    for _ in range(100):
        assert reply(send(session, type="ping"))["type"] == "pong"
    frame = reply(send(session, type="ping", id="late"))
    assert (frame["content"]["code"], frame["id"]) == (429, "late")


def test_fifty_messages_a_second_pass_for_ever():
    session = open_session()
    for n in range(1000):
        assert reply(send(session, now=n / 50, type="ping"))["type"] == "pong"


def test_five_hundred_refusals_in_a_row_close_with_4429():
    session = open_session()
    effects = [send(session, type="ping") for _ in range(600)]
    assert all(isinstance(effect, Reply) for effect in effects[:599])
    assert isinstance(effects[599], Close)
    assert effects[599].code is CloseCode.RATE


def test_a_message_that_passes_forgives_the_refusals_before_it():
    session = open_session()
    for _ in range(599):
        send(session, type="ping")
    assert reply(send(session, now=0.02, type="ping"))["type"] == "pong"
    assert isinstance(send(session, now=0.02, type="ping"), Reply)


def test_bytes_count_as_well():
    session = open_session(RealtimeSettings(byte_rate=100, byte_burst=1000))
    big = json.dumps({"type": "chat", "to": "1", "content": "x" * 900}).encode()
    assert isinstance(session.receive(big, 0), Chat)
    assert refusal(session.receive(big, 0)) == ErrorCode.RATE
    assert isinstance(session.receive(big, 20), Chat)


def test_a_refused_message_that_is_not_json_gets_429_all_the_same():
    session = open_session(RealtimeSettings(message_burst=1))
    send(session, type="ping")
    assert refusal(session.receive(b"\xff{", 0)) == ErrorCode.RATE


# What the session writes


def test_welcome_tells_who_and_where_and_all_positions():
    text = open_session().welcome("n1", {"user": Position("e", 4), "broadcast": Position("f", 0)}, "Hello")
    frame = json.loads(text)
    assert frame["type"] == "welcome"
    assert frame["content"] == {"code": 0, "message": "Hello", "level": "info"}
    data = frame["data"]
    assert (data["client_id"], data["user_id"], data["node"], data["heartbeat"]) == ("c1", "7", "n1", 20)
    assert data["streams"] == {"user": {"epoch": "e", "offset": 4}, "broadcast": {"epoch": "f", "offset": 0}}
    assert data["server_time"] == frame["timestamp"]


def test_the_ack_of_a_join_tells_the_position():
    content = {"room": "a:b", "stream": stream_content(stream_of_room("a:b"), Position("e", 3))}
    frame = json.loads(open_session().ack("j", content))
    assert (frame["type"], frame["id"]) == ("ack", "j")
    assert frame["content"]["stream"] == {"name": "room:a:b", "epoch": "e", "offset": 3}


def test_resumed_has_a_result_for_every_stream():
    frame = json.loads(open_session().resumed({"user": {"recovered": True, "count": 0}}, "r"))
    assert (frame["type"], frame["id"], frame["content"]["streams"]["user"]["recovered"]) == ("resumed", "r", True)


# Anything at all

NAMES = st.one_of(st.sampled_from(["7", "r", "", "a:b", "\x00"]), st.text(max_size=8), st.none(), st.integers(-9, 9))
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 2**70) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=7), inner, max_size=3),
    max_leaves=8,
)
STREAMS = st.dictionaries(
    st.sampled_from(["user", "broadcast", "room:r", "room:", "x"]),
    st.fixed_dictionaries({"epoch": st.text(max_size=4) | st.none(), "offset": st.integers(-1, 2**60) | st.none()}),
)
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from([*sorted(CLIENT_TYPES), *sorted(SERVER_TYPES), "nonsense"]) | ANYTHING},
    optional={
        "id": ANYTHING, "to": NAMES | ANYTHING, "room": NAMES | ANYTHING, "data": ANYTHING, "from": ANYTHING,
        "content": ANYTHING | NAMES | STREAMS.map(lambda streams: {"streams": streams}), "timestamp": ANYTHING,
    },
)  # fmt: skip


class AnyClient(RuleBasedStateMachine):
    """A client that sends whatever it likes, in any order and at any pace."""

    def __init__(self) -> None:
        super().__init__()
        self.session = open_session(RealtimeSettings(max_rooms=3, rate_strikes=5, message_burst=10))
        self.now = 0.0
        self.closed = False

    @rule(message=MESSAGES)
    def sends_json(self, message: dict[str, Any]) -> None:
        self.take(json.dumps(message).encode())

    @rule(payload=st.binary(max_size=40))
    def sends_bytes(self, payload: bytes) -> None:
        self.take(payload)

    @rule(pause=st.floats(0, 1))
    def pauses(self, pause: float) -> None:
        self.now += pause

    @rule(room=st.sampled_from(["r", "a:b"]))
    def joins(self, room: str) -> None:
        if self.session.rooms is None:
            self.session.rooms = {}
        self.session.rooms[room] = 0

    def take(self, payload: bytes) -> None:
        effect = self.session.receive(payload, self.now)
        assert effect is None or isinstance(effect, EFFECTS)
        if isinstance(effect, Reply):
            frame = msgspec.json.decode(effect.text)
            assert frame["type"] in ("pong", "error", "ack")
            assert isinstance(frame["timestamp"], int)
            assert "content" in frame
        elif isinstance(effect, Chat | RoomSend):
            frame = msgspec.json.decode(effect.text)
            assert (frame["from"], frame["from_name"]) == ("7", "Ann")
            assert frame["timestamp"] > 1_600_000_000
        elif isinstance(effect, Close):
            assert effect.code is CloseCode.RATE

    @invariant()
    def counts_only_known_types(self) -> None:
        assert self.session.last_type in CLIENT_TYPES | {"unknown"}


TestAnyClient = AnyClient.TestCase
TestAnyClient.settings = settings(max_examples=60, stateful_step_count=30)


@given(st.lists(st.binary(max_size=50), max_size=5))
def test_every_reply_is_valid_json(payloads):
    session = open_session()
    for payload in payloads:
        effect = session.receive(payload, 0)
        assert isinstance(effect, Reply)
        json.loads(effect.text)
