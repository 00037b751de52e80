"""Bytes that no client library would send, against the real gateway: the right close code, and nothing else happens."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.clients import Client
from tests.integration.serving import KEY, Peer, upgrade_request
from tests.integration.stack import Stack, make_token
from tests.security.observing import fresh, tracebacks

pytestmark = pytest.mark.integration

TEXT, CONTINUATION, BINARY, CLOSE, PING, PONG = 0x81, 0x80, 0x82, 0x88, 0x89, 0x8A
PING_MESSAGE = b'{"type":"ping","id":"still here"}'


@pytest.fixture
async def bystander(stack: Stack):
    """A client that is answered throughout, and logs without a traceback."""
    before = len(tracebacks(stack))
    async with Client(stack.ws(fresh("bystander"))) as client:
        yield client
        assert (await client.ask(type="ping"))["type"] == "pong"
        assert client.closed is None
    assert tracebacks(stack)[before:] == []


@pytest.fixture
def peer(stack: Stack, bystander: Client) -> Iterator[Peer]:
    """Give a raw client that has been welcomed."""
    path = f"/ws?token={make_token(fresh('hostile'))}"
    with Peer(stack.gateway, path) as peer:  # type: ignore[arg-type]  # has a port, like a Server
        assert peer.response.startswith("HTTP/1.1 101 ")
        assert json.loads(peer.frame()[1])["type"] == "welcome"
        yield peer


async def closed(peer: Peer) -> int:
    return (await asyncio.to_thread(peer.close_frame))[0]


async def answered(peer: Peer) -> dict[str, Any]:
    """Skip to the next text frame."""

    def read() -> dict[str, Any]:
        while True:
            opcode, payload = peer.frame()
            assert opcode != 8, payload
            message = json.loads(payload) if opcode == 1 else {}
            if message.get("type") in ("pong", "error"):
                return message

    return await asyncio.to_thread(read)


# Frames

WRONG_FRAMES = {
    "a ping larger than 125": ((PING, b"x" * 126, True), 1002),
    "a close frame larger than 125": ((CLOSE, b"x" * 126, True), 1002),
    "a fragmented ping": ((PING & 0x7F, b"x", True), 1002),
    "an unmasked text": ((TEXT, PING_MESSAGE, False), 1002),
    "an unmasked ping": ((PING, b"", False), 1002),
    "an unmasked empty frame": ((TEXT, b"", False), 1002),
    "a reserved bit": ((TEXT | 0x40, PING_MESSAGE, True), 1002),
    "a reserved opcode": ((0x83, b"x", True), 1002),
    "a reserved control opcode": ((0x8B, b"x", True), 1002),
    "a continuation of nothing": ((CONTINUATION, b"x", True), 1002),
    "a close code nobody may send": ((CLOSE, struct.pack("!H", 1006), True), 1002),
    "a close code of one byte": ((CLOSE, b"\x03", True), 1002),
    "a close reason that is not UTF-8": ((CLOSE, struct.pack("!H", 1000) + b"\xff", True), 1007),
    "binary": ((BINARY, b"\x00\x01", True), 1003),
    "text that is not UTF-8": ((TEXT, b'{"type":"\xff"}', True), 1007),
    "half a surrogate": ((TEXT, b"\xed\xa0\x80", True), 1007),
    "overlong UTF-8": ((TEXT, b"\xc0\xaf", True), 1007),
}


@pytest.mark.parametrize("name", WRONG_FRAMES)
async def test_a_wrong_frame_gets_the_right_close_code(peer: Peer, name: str) -> None:
    (first, payload, masked), code = WRONG_FRAMES[name]
    peer.send(first, payload, masked=masked)
    assert await closed(peer) == code


async def test_a_text_in_the_middle_of_another_is_a_1002(peer: Peer) -> None:
    peer.send(0x01, b"{")
    peer.send(TEXT, PING_MESSAGE)
    assert await closed(peer) == 1002


@pytest.mark.parametrize("size", [2**63, 2**64 - 1, 600_000, 2**40])
async def test_a_frame_that_promises_too_much_is_a_1009_before_it_comes(peer: Peer, size: int) -> None:
    peer.socket.sendall(bytes((TEXT, 0xFF)) + struct.pack("!Q", size) + b"mask")
    assert await closed(peer) in (1002, 1009)


async def test_a_length_in_more_bytes_than_it_needs_is_a_1002(peer: Peer) -> None:
    peer.socket.sendall(bytes((TEXT, 0xFE)) + struct.pack("!H", 5) + b"mask" + b"hello")
    assert await closed(peer) == 1002


async def test_a_mask_that_was_not_applied_makes_text_that_is_no_utf8(peer: Peer) -> None:
    payload = PING_MESSAGE
    peer.socket.sendall(bytes((TEXT, 0x80 | len(payload))) + b"\xff\xff\xff\xff" + payload)
    assert await closed(peer) == 1007


async def test_a_mask_that_turns_text_into_other_text_is_told_400(peer: Peer) -> None:
    payload = PING_MESSAGE
    peer.socket.sendall(bytes((TEXT, 0x80 | len(payload))) + b"\x01\x00\x00\x00" + payload)
    assert (await answered(peer))["content"]["code"] == 400


async def test_endless_continuations_end_at_the_message_limit(peer: Peer) -> None:
    def pour() -> None:
        peer.send(0x01, b'{"type":"chat","content":"')
        for _ in range(200):
            peer.send(0x00, b"x" * 4096)

    with contextlib.suppress(OSError):
        await asyncio.to_thread(pour)
    assert await closed(peer) == 1009


async def test_empty_continuations_are_no_messages_and_yet_not_endless(peer: Peer) -> None:
    peer.send(0x01, b"")
    for _ in range(100):
        peer.send(0x00, b"")
    peer.send(CONTINUATION, PING_MESSAGE)
    assert (await answered(peer))["type"] == "pong"
    peer.send(0x01, b"")
    with contextlib.suppress(OSError):
        for _ in range(30):
            peer.socket.sendall(bytes((0x00, 0x80, 0, 0, 0, 0)) * 1000)
    assert await closed(peer) == 4429


@pytest.mark.parametrize("first", [PING, PONG])
async def test_a_flood_of_control_frames_is_cut_with_4429(peer: Peer, first: int) -> None:
    with contextlib.suppress(OSError):
        for _ in range(30):
            peer.socket.sendall(bytes((first, 0x80, 0, 0, 0, 0)) * 1000)
    assert await closed(peer) == 4429


async def test_a_message_in_one_byte_fragments_arrives(peer: Peer) -> None:
    peer.send(0x01, PING_MESSAGE[:1])
    for at in range(1, len(PING_MESSAGE)):
        peer.send(0x00, PING_MESSAGE[at : at + 1])
        peer.send(PING, b"between")
    peer.send(CONTINUATION, b"")
    assert (await answered(peer))["id"] == "still here"


async def test_a_frame_byte_by_byte_arrives(peer: Peer) -> None:
    frame = bytes((TEXT, 0x80 | len(PING_MESSAGE))) + bytes(4) + PING_MESSAGE
    for at in range(len(frame)):
        peer.socket.sendall(frame[at : at + 1])
        await asyncio.sleep(0.001)
    assert (await answered(peer))["id"] == "still here"


async def test_half_a_frame_keeps_nobody_waiting(peer: Peer, bystander: Client) -> None:
    peer.socket.sendall(bytes((TEXT, 0xFE)) + struct.pack("!H", 60_000) + b"mask" + b"x" * 100)
    for _ in range(20):
        assert (await bystander.ask(type="ping"))["type"] == "pong"


async def test_a_half_closed_socket_is_let_go(peer: Peer) -> None:
    peer.send(TEXT, PING_MESSAGE)
    peer.socket.shutdown(socket.SHUT_WR)

    def to_the_end() -> bytes:
        seen = b""
        while data := peer.socket.recv(65536):
            seen += data
        return seen

    await asyncio.to_thread(to_the_end)


async def test_a_reset_in_the_middle_of_everything_harms_nobody(stack: Stack, bystander: Client) -> None:
    for cut in (5, 60, 200):
        client = socket.create_connection(("127.0.0.1", stack.gateway.port))
        request = upgrade_request(f"/ws?token={make_token(fresh('reset'))}") + bytes((TEXT, 0x85)) + b"mas"
        client.sendall(request[:cut] if cut < 200 else request)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()


async def test_random_bytes_after_the_handshake_end_the_connection(stack: Stack, bystander: Client) -> None:
    for _ in range(30):
        path = f"/ws?token={make_token(fresh('noise'))}"
        with Peer(stack.gateway, path) as peer:  # type: ignore[arg-type]  # has a port, like a Server
            peer.socket.sendall(os.urandom(300))
            peer.socket.shutdown(socket.SHUT_WR)
            with pytest.raises(ConnectionError):
                await asyncio.to_thread(peer.read_all)


# JSON

JSON_TRAPS = {
    "nothing": b"",
    "a number": b"1",
    "a list": b'["type"]',
    "null": b"null",
    "cut off": b'{"type":"pi',
    "a second value": b'{"type":"ping"}{}',
    "NaN": b'{"type":"chat","to":"x","content":NaN}',
    "infinity": b'{"type":"chat","to":"x","content":-Infinity}',
    "1e999": b'{"type":"chat","to":"x","content":1e999}',
    "5,000 digits": b'{"type":"chat","to":"x","content":' + b"9" * 5000 + b"}",
    "2,000 levels": b'{"type":"chat","to":"x","content":' + b"[" * 2000 + b"]" * 2000 + b"}",
    "200,000 levels unclosed": b"[" * 200_000,
    "200,000 objects unclosed": b'{"a":' * 50_000,
    "a lone surrogate": b'{"type":"chat","to":"x","content":"\\ud800"}',
    "a repeated key": b'{"type":"ping","type":"chat"}',
    "a NUL in a name": b'{"type":"join_room","content":"a\\u0000b"}',
    "a type that is a list": b'{"type":["ping"]}',
    "a method's name": b'{"type":"__init__"}',
    "a Channels handler": b'{"type":"websocket.disconnect"}',
    "a server's type": b'{"type":"welcome","content":1}',
    "__proto__": b'{"__proto__":{"type":"ping"}}',
    "a byte order mark": b'\xef\xbb\xbf{"type":"ping"}',
    "an id that is an object": b'{"type":"ping","id":{}}',
    "an id of 1,000 digits": b'{"type":"ping","id":' + b"1" * 1000 + b"}",
}


@pytest.mark.parametrize("name", JSON_TRAPS)
async def test_a_json_trap_is_told_and_survived(peer: Peer, name: str) -> None:
    peer.send(TEXT, JSON_TRAPS[name])
    error = await answered(peer)
    assert (error["type"], error["content"]["level"]) == ("error", "error")
    assert error["content"]["code"] in (400, 403, 413, 422)
    peer.send(TEXT, PING_MESSAGE)
    assert (await answered(peer))["id"] == "still here"


async def test_as_many_keys_as_fit_into_a_message_hold_nobody_up(peer: Peer, bystander: Client) -> None:
    many = b'{"type":"ping",' + b",".join(b'"%x":0' % number for number in range(58_000)) + b"}"
    assert 500_000 < len(many) < 524_288
    peer.send(TEXT, many)
    assert (await bystander.ask(type="ping"))["type"] == "pong"
    assert (await answered(peer))["content"]["code"] == 413
    fewer = b'{"type":"ping",' + b",".join(b'"%x":0' % number for number in range(9_000)) + b"}"
    peer.send(TEXT, fewer)
    assert (await answered(peer))["type"] == "pong"


async def test_commas_and_brackets_in_a_text_are_no_values(peer: Peer) -> None:
    table = "\\n".join('[1,2,{3}],\\"x\\"' for _ in range(10_000))
    peer.send(TEXT, f'{{"type":"ping","id":"table","content":"{table}"}}'.encode())
    assert (await answered(peer))["id"] == "table"


async def test_a_million_keys_do_not_fit(peer: Peer) -> None:
    bomb = b"{" + b",".join(b'"%x":0' % number for number in range(1_000_000)) + b"}"

    def throw() -> None:
        with contextlib.suppress(OSError):  # closed before all of it was sent
            peer.send(TEXT, bomb)

    await asyncio.to_thread(throw)
    assert await closed(peer) == 1009


# Handshakes


def first_line(stack: Stack, request: bytes) -> str:
    with socket.create_connection(("127.0.0.1", stack.gateway.port), timeout=20) as client:
        client.sendall(request)
        return client.recv(4096).split(b"\r\n")[0].decode("latin-1")


def request(**changes: str | None) -> bytes:
    """Return an upgrade request with changed, additional or (None) missing headers."""
    headers: dict[str, str | None] = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    headers |= {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    path = f"/ws?token={make_token(fresh('shake'))}"
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines]).encode("latin-1") + b"\r\n\r\n"


ORIGINS = [
    "", " ", "null", "NULL", "http://", "//localhost", "localhost", "http://localhost:99999", "http://local host",
    "http://localhost/path", "http://user@localhost", "http://localhost#", "javascript:alert(1)", "http://[::1",
    "http://localhost.evil.example", "http://evil.example", "http://\xe9", "http://localhost, http://localhost",
    "http://" + "a" * 5000, "file://", "http://localhost:80:80", "https://localhost%2eevil.example",
]  # fmt: skip


@pytest.mark.parametrize("origin", ORIGINS)
async def test_a_foreign_or_malformed_origin_is_a_403(stack: Stack, bystander: Client, origin: str) -> None:
    assert first_line(stack, request(Origin=origin)).startswith("HTTP/1.1 403 ")


@pytest.mark.parametrize("origin", [None, "http://localhost", "HTTP://LOCALHOST:80"])
async def test_no_origin_and_the_own_host_pass(stack: Stack, bystander: Client, origin: str | None) -> None:
    assert first_line(stack, request(Origin=origin)).startswith("HTTP/1.1 101 ")


@pytest.mark.parametrize(
    "host", ["", "localhost:99999", "[::1", "a b", "\xe9", "localhost@evil", "x" * 5000, "..", ":"]
)
async def test_a_malformed_host_opens_nothing_to_a_page_and_breaks_nothing(
    stack: Stack, bystander: Client, host: str
) -> None:
    assert first_line(stack, request(Host=host, Origin="http://localhost")).startswith(
        ("HTTP/1.1 403 ", "HTTP/1.1 400 ")
    )


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"Host": None}, 400),
        ({"Sec_WebSocket_Key": None}, 400),
        ({"Sec_WebSocket_Key": "short"}, 400),
        ({"Sec_WebSocket_Key": "=" * 24}, 400),
        ({"Sec_WebSocket_Version": "12"}, 426),
        ({"Connection": "close"}, 400),
        ({"X": "a\x00b"}, 400),
        ({"X\x01": "a"}, 400),
        ({"Content-Length": "5"}, 101),
    ],
)
async def test_a_broken_handshake_is_answered(stack: Stack, bystander: Client, changes: Any, status: int) -> None:
    assert first_line(stack, request(**changes)).startswith(f"HTTP/1.1 {status} ")


@pytest.mark.parametrize(
    "head",
    [b"\x16\x03\x01\x02\x00\x01", b"\x00" * 64, b"hello\r\n\r\n", b"get / HTTP/1.1\r\n\r\n", b"\r\n" * 50, b"\xff\xfe"],
)
async def test_what_is_no_http_is_a_400(stack: Stack, bystander: Client, head: bytes) -> None:
    assert first_line(stack, head).startswith("HTTP/1.1 400 ")
