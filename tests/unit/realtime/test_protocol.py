"""What a message is: read strictly, written once, and nothing but ``ProtocolError`` for anything else."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from realtime.codes import ErrorCode, ProtocolError
from realtime.protocol import (
    CLIENT_TYPES,
    SERVER_TYPES,
    ServerMessage,
    decode_client_message,
    decode_object,
    encode,
    encode_for_stream,
    encode_name,
    level,
    request_id,
    splice_stream,
    user_id_of,
    valid_name,
    whole_seconds,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)

TRAPS = {
    "empty": b"",
    "blank": b"  \n",
    "not JSON": b"hello",
    "an array": b"[]",
    "a string": b'"ping"',
    "null": b"null",
    "a number": b"7",
    "two documents": b'{"type":"ping"}{"type":"ping"}',
    "a trailing comma": b'{"type":"ping",}',
    "unfinished": b'{"type":"ping"',
    "a single quote": b"{'type':'ping'}",
    "a byte order mark": b'\xef\xbb\xbf{"type":"ping"}',
    "not UTF-8": b'{"type":"\xff\xfe"}',
    "an overlong encoding": b'{"type":"\xc0\xaf"}',
    "a surrogate in UTF-8": b'{"type":"\xed\xa0\x80"}',
    "a lone surrogate": rb'{"type":"chat","content":"\ud800"}',
    "a lone low surrogate": rb'{"type":"chat","content":"\udc00x"}',
    "NaN": b'{"type":"chat","content":NaN}',
    "Infinity": b'{"type":"chat","content":Infinity}',
    "minus Infinity": b'{"type":"chat","content":-Infinity}',
    "1e999": b'{"type":"chat","content":1e999}',
    "a 5,000-digit integer": b'{"type":"chat","content":' + b"9" * 5000 + b"}",
    "a 400,000-digit integer": b'{"type":"chat","content":' + b"9" * 400_000 + b"}",
    "an integer of 65 bits": b'{"type":"chat","content":18446744073709551616}',
    "2,000 levels": b'{"type":"chat","content":' + b"[" * 2000 + b"]" * 2000 + b"}",
    "200,000 levels": b'{"type":"chat","content":' + b'{"a":' * 200_000,
    "65 levels": b'{"type":"chat","content":' + b"[" * 64 + b"]" * 64 + b"}",
    "a key twice": b'{"type":"ping","type":"chat"}',
    "a nested key twice": b'{"type":"chat","content":{"a":1,"a":2}}',
    "an escaped key twice": rb'{"type":"chat","\u0074ype":"ping"}',
    "a control character": b'{"type":"chat","content":"\x01"}',
    "no type": b'{"content":1}',
    "an empty type": b'{"type":""}',
    "a null type": b'{"type":null}',
    "a numeric type": b'{"type":1}',
}


@pytest.mark.parametrize("payload", TRAPS.values(), ids=TRAPS.keys())
def test_a_malformed_message_is_refused_with_400(payload):
    with pytest.raises(ProtocolError) as refused:
        decode_client_message(payload, max_nesting=64)
    assert refused.value.code is ErrorCode.MALFORMED
    assert 0 < len(refused.value.message) < 300


@given(st.binary(max_size=300))
@example(b'{"type":"\\')
@example(b'"\\"' * 30)
def test_no_bytes_raise_anything_but_a_protocol_error(payload):
    try:
        message = decode_client_message(payload, max_nesting=8)
    except ProtocolError:
        return
    assert message.type


@given(st.text(alphabet='{}[]",:\\u0dtypeach1.-+ \x00é', max_size=60))
@settings(max_examples=300)
def test_no_text_that_looks_like_json_raises_anything_but_a_protocol_error(text):
    with contextlib.suppress(ProtocolError):
        decode_client_message(text.encode(), max_nesting=8)


@given(JSON)
def test_every_json_value_arrives_as_it_was_sent(value):
    payload = json.dumps({"type": "chat", "content": value}).encode()
    assert decode_client_message(payload, max_nesting=64).content == value


@given(st.binary(max_size=200))
def test_the_id_of_a_refused_message_never_raises(payload):
    assert request_id(payload) is None or isinstance(request_id(payload), str | int)


def test_nesting_up_to_the_limit_is_fine_and_brackets_in_strings_do_not_count():
    assert decode_object(b'{"a":' + b"[" * 63 + b"]" * 63 + b"}", max_nesting=64)
    assert decode_object(b'{"a":"' + b"[" * 500 + rb"\"" + b"{" * 500 + b'"}', max_nesting=64)
    assert decode_object(b'{"a":[' + b"[]," * 500 + b"[]]}", max_nesting=64)


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 65 + b'"' + rb"\"" * 250_000,
        b"[" * 65 + b'"' + rb"\"" * 250_000 + b"\\",
        b"[" * 65 + b'"' * 400_000,
        b"[" * 65 + b"\\" * 400_000,
        b"{" * 500_000,
        b'{"a":"' * 80_000,
    ],
    ids=["escaped quotes", "escaped quotes and half an escape", "quotes", "backslashes", "braces", "keys"],
)
def test_half_a_megabyte_made_to_be_slow_is_refused_in_well_under_a_second(payload):
    began = time.process_time()
    with pytest.raises(ProtocolError):
        decode_object(payload, max_nesting=64)
    assert time.process_time() - began < 1


def test_a_million_keys_are_read():
    payload = b'{"type":"chat","content":{' + b",".join(b'"%d":0' % n for n in range(1_000_000)) + b"}}"
    assert len(decode_client_message(payload, max_nesting=64).content) == 1_000_000


# Ids


@pytest.mark.parametrize("given_id", ["a", "ü" * 128, 0, -5, 2**53 - 1])
def test_ids_are_strings_or_integers_of_53_bits(given_id):
    payload = json.dumps({"type": "ping", "id": given_id}).encode()
    assert decode_client_message(payload, max_nesting=64).id == given_id


@pytest.mark.parametrize("none", [b"null", b'""'])
def test_null_and_empty_mean_that_there_is_no_id(none):
    assert decode_client_message(b'{"type":"ping","id":%b}' % none, max_nesting=64).id is None


@pytest.mark.parametrize("bad", [True, 1.5, [], {}, "x" * 129, "a\nb", 2**53, -(2**53)])
def test_any_other_id_is_refused_with_422(bad):
    with pytest.raises(ProtocolError) as refused:
        decode_client_message(json.dumps({"type": "ping", "id": bad}).encode(), max_nesting=64)
    assert refused.value.code is ErrorCode.INVALID


def test_the_id_of_a_refused_message_is_found_where_it_can_be():
    assert request_id(b'{"type":7,"id":"x"}') == "x"
    assert request_id(b'{"id":') is None
    assert request_id(b'{"id":[]}') is None


# Names


@pytest.mark.parametrize("name", ["1", "chat:room001", "日本", "a b", "🦊" * 512, "%00", "a/b?c", "e\u0301", "\u00e9"])
def test_names_have_1_to_512_unicode_characters(name):
    assert valid_name(name, "the room") == name


@pytest.mark.parametrize("bad", ["", "x" * 513, "a\x00", "\n", "a\x7f", "\x85", "\ud800", None, 1, True, [], {"a": 1}])
def test_any_other_name_is_refused_with_422_and_says_which(bad):
    with pytest.raises(ProtocolError, match="the room") as refused:
        valid_name(bad, "the room")
    assert refused.value.code is ErrorCode.INVALID


def test_user_ids_may_be_given_as_numbers():
    assert (user_id_of(5), user_id_of("5"), user_id_of(True), user_id_of(None), user_id_of([])) == (
        "5", "5", None, None, None,
    )  # fmt: skip


# Times


@pytest.mark.parametrize(
    ("given_time", "seconds"),
    [
        (1_700_000_000, 1_700_000_000),
        (1_700_000_000.9, 1_700_000_000),
        (1_700_000_000_123, 1_700_000_000),
        (1_700_000_000_123_456, 1_700_000_000),
        (1_700_000_000_123_456_789, 1_700_000_000),
        (0, 0),
    ],
)
def test_times_become_whole_seconds_whatever_their_unit(given_time, seconds):
    result = whole_seconds(given_time)
    assert (result, type(result)) == (seconds, int)


@pytest.mark.parametrize("bad", ["1700000000", None, True, -1, float("nan"), float("inf"), []])
def test_anything_else_is_no_time(bad):
    with pytest.raises(ProtocolError):
        whole_seconds(bad)


# Writing


def test_what_is_unset_is_left_out_and_content_is_always_there():
    assert json.loads(encode(ServerMessage(type="pong", timestamp=7))) == {
        "type": "pong",
        "content": None,
        "timestamp": 7,
    }


@given(
    JSON,
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), JSON, max_size=3),
    st.text(),
    st.integers(1, 2**53),
)
def test_a_stream_position_spliced_in_gives_the_json_it_should(content, data, name, offset):
    name = name.encode("utf-8", "replace").decode()
    message = ServerMessage(type="chat", content=content, timestamp=1, data=dict(data))
    whole = msgspec.json.decode(splice_stream(encode_for_stream(message), encode_name(name), "e1", offset))
    expected = {k: v for k, v in data.items() if k != "stream"}
    assert whole["data"] == {**expected, "stream": {"name": name, "epoch": "e1", "offset": offset}}
    assert whole["content"] == msgspec.json.decode(msgspec.json.encode(content))


def test_a_publisher_cannot_pose_as_a_stream_position():
    text = encode_for_stream(ServerMessage(type="chat", timestamp=1, data={"stream": {"name": "forged"}}))
    assert json.loads(splice_stream(text, encode_name("user"), "e", 3))["data"] == {
        "stream": {"name": "user", "epoch": "e", "offset": 3}
    }


def test_levels_have_a_code_a_message_and_a_level():
    assert level(ErrorCode.RATE, "slow down", "error") == {"code": 429, "message": "slow down", "level": "error"}


def test_no_type_belongs_to_both_sides_unless_the_contract_says_so():
    assert not CLIENT_TYPES & SERVER_TYPES


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"chat","content":[' + b"[]," * 60 + b"0]}",
        b'{"type":"chat","content":{' + b",".join(b'"%d":{}' % number for number in range(60)) + b"}}",
        b'{"type":"chat","content":' + b'["a",' * 60,
        b"{" * 60,
        b'"' * 500 + b"," * 60,
    ],
)
def test_more_values_than_allowed_are_refused_before_they_are_read(payload: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_object(payload, max_nesting=64, max_values=50)
    assert (caught.value.code, caught.value.limit) == (ErrorCode.TOO_LARGE, "values")


@given(st.lists(st.text() | st.lists(st.text(), max_size=3), max_size=12))
def test_what_stands_in_texts_is_no_value(content: list[Any]) -> None:
    values = len(content) + sum(len(item) for item in content if isinstance(item, list)) + 4
    values += sum(isinstance(item, list) for item in content)
    payload = json.dumps({"content": content}).encode()
    assert decode_object(payload, max_nesting=64, max_values=values)["content"] == content
