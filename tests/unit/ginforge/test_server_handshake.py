from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ginforge.server import handshake

REQUEST = (
    b"GET /ws/%C3%A9?token=a%20b HTTP/1.1\r\nHost: localhost\r\nUpgrade: WebSocket\r\nConnection: keep-alive, "
    b"Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: bearer, abc\r\n\r\n"
)


def test_a_request_is_split_into_what_the_scope_needs() -> None:
    request = handshake.parse(REQUEST)
    assert request.path == "/ws/é"
    assert request.raw_path == b"/ws/%C3%A9"
    assert request.query_string == b"token=a%20b"
    assert request.subprotocols == ["bearer", "abc"]
    assert request.headers[0] == (b"host", b"localhost")


def test_the_accept_key_is_the_one_of_the_standard() -> None:
    response = handshake.accept_response(handshake.parse(REQUEST), "bearer", [(b"x-node", b"7")], "ginforge")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in response
    assert b"\r\nSec-WebSocket-Protocol: bearer\r\n" in response
    assert b"\r\nx-node: 7\r\n" in response


def test_only_an_offered_subprotocol_can_be_accepted() -> None:
    with pytest.raises(ValueError, match="did not offer"):
        handshake.accept_response(handshake.parse(REQUEST), "other")


@pytest.mark.parametrize("header", [(b"x", b"a\r\nb: c"), (b"x y", b"z"), (b"", b"")])
def test_a_header_cannot_smuggle_another(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="not a header"):
        handshake.accept_response(handshake.parse(REQUEST), extra=[header])


def test_a_header_with_an_underscore_is_dropped() -> None:
    request = handshake.parse(REQUEST.replace(b"Host", b"X_Forwarded_For: 1.2.3.4\r\nHost"))
    assert all(b"_" not in name for name, _ in request.headers)


def test_an_absolute_target_is_understood() -> None:
    request = handshake.parse(REQUEST.replace(b"GET /ws", b"GET http://localhost/ws"))
    assert request.path == "/ws/é"


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Host: localhost\r\n", b"", 400),
        (b"Host: localhost", b"Host: a\r\nHost: b", 400),
        (b"Host: localhost", b"Origin: a\r\nOrigin: b\r\nHost: localhost", 400),
        (b"Upgrade: WebSocket", b"Upgrade: h2c", 426),
        (b"keep-alive, Upgrade", b"keep-alive", 400),
        (b"Version: 13", b"Version: 12", 426),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"dGhl", 400),
        (b"dGhlIHNhbXBsZSBub25jZQ==", b"!GhlIHNhbXBsZSBub25jZQ==", 400),
        (b"GET /ws", b"POST /ws", 400),
        (b"HTTP/1.1", b"HTTP/1.0", 400),
        (b"Host:", b"Ho st: x\r\nHost:", 400),
        (b"Host:", b"no colon\r\nHost:", 400),
        (b"localhost", b"local\x00host", 400),
        (b"/ws/", b"/ws#x/", 400),
    ],
)
def test_a_request_with_a_fault_is_refused_with_the_right_status(old: bytes, new: bytes, status: int) -> None:
    assert old in REQUEST
    with pytest.raises(handshake.HandshakeError) as caught:
        handshake.parse(REQUEST.replace(old, new))
    assert caught.value.status == status


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_raise_anything_else(noise: bytes) -> None:
    for request in (noise, REQUEST[:-2] + noise + b"\r\n\r\n", b"GET /" + noise + REQUEST[4:]):
        with contextlib.suppress(handshake.HandshakeError):
            handshake.parse(request)


def test_only_a_get_with_the_upgrade_header_asks_for_an_upgrade() -> None:
    assert handshake.asks_for_upgrade(REQUEST)
    assert not handshake.asks_for_upgrade(REQUEST.replace(b"GET", b"PUT"))
    assert not handshake.asks_for_upgrade(b"GET /upgrade:websocket HTTP/1.1\r\nHost: x\r\n\r\n")


def test_a_refusal_ends_the_connection_and_says_how_long_it_is() -> None:
    response = handshake.refusal_response(503, [(b"Retry-After", b"7"), (b"Connection", b"keep-alive")], b"later")
    assert response.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert response.endswith(b"\r\n\r\nlater")
    assert b"Content-Length: 5\r\n" in response
    assert b"Retry-After: 7\r\n" in response
    assert b"keep-alive" not in response
