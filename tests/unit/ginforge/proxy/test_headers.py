from __future__ import annotations

from typing import Any

import pytest

from ginforge.proxy.answers import Refusal
from ginforge.proxy.headers import host_of, request_id, response_headers, upstream_headers
from realtime.principal import Principal

BOB = Principal(user_id="7", username="Bob\u00fc", is_staff=True, jti=None, expires_at=0)


def sent(*headers: tuple[bytes, bytes], principal: Principal | None = None, **scope: Any) -> dict[str, str]:
    whole = {"type": "http", "scheme": "http", "client": ["10.0.0.9", 1], "headers": list(headers), **scope}
    return {name.lower(): value for name, value in upstream_headers(whole, "id-1", principal, host="h:1").items()}


def test_names_that_are_the_gateways_are_dropped_in_any_spelling() -> None:
    names = (
        b"x-user-id",
        b"X-User-Staff",
        b"x_user_id",
        b"x-forwarded-for",
        b"forwarded",
        b"x-real-ip",
        b"remote-user",
    )
    kept = sent(*((name, b"forged") for name in names))
    assert "forged" not in kept.values()


def test_headers_named_by_connection_are_dropped() -> None:
    kept = sent((b"connection", b"close, X-One"), (b"connection", b"x-two"), (b"x-one", b"1"), (b"x-two", b"2"))
    assert not {"x-one", "x-two", "connection"} & set(kept)


def test_connection_cannot_name_the_gateways_own_headers_away() -> None:
    kept = sent((b"connection", b"x-user-id, x-forwarded-for, x-request-id"), principal=BOB)
    assert (kept["x-user-id"], kept["x-forwarded-for"], kept["x-request-id"]) == ("7", "10.0.0.9", "id-1")


def test_the_verified_user_is_told_in_ascii() -> None:
    kept = sent(principal=BOB)
    assert (kept["x-user-id"], kept["x-user-name"], kept["x-user-staff"]) == ("7", "Bob%C3%BC", "1")


def test_the_scheme_of_a_secure_websocket_is_https() -> None:
    assert sent(type="websocket", scheme="wss")["x-forwarded-proto"] == "https"


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(Refusal):
        sent((b"x-a", b"\xff"))


def test_a_trace_state_without_a_parent_is_dropped() -> None:
    assert "tracestate" not in sent((b"tracestate", b"a=1"))


def test_repeated_or_unfit_request_ids_are_replaced() -> None:
    assert request_id([(b"x-request-id", b"abc")]) == "abc"
    assert request_id([(b"x-request-id", b"a"), (b"x-request-id", b"b")]) not in ("a", "b")
    assert len(request_id([(b"x-request-id", b"x" * 129)])) == 32


def test_answers_keep_order_and_repetition() -> None:
    raw = [(b"Set-Cookie", b"a"), (b"Keep-Alive", b"5"), (b"set-cookie", b"b"), (b"Content-Length", b"0")]
    assert response_headers(raw, "i", status=200) == [
        (b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"content-length", b"0"), (b"x-request-id", b"i"),
    ]  # fmt: skip
    assert (b"content-length", b"0") not in response_headers(raw, "i", status=204)


def test_two_hosts_are_refused() -> None:
    with pytest.raises(Refusal):
        host_of({"headers": [(b"host", b"a"), (b"host", b"b")]})
