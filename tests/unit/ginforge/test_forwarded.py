"""Whose word about the client counts."""

from __future__ import annotations

from typing import Any

import pytest

from ginforge.forwarded import PRIVATE_NETWORKS, ProxyRules, parse_proxies


def scope(peer: str | None, *headers: tuple[str, str], kind: str = "http") -> dict[str, Any]:
    return {
        "type": kind,
        "scheme": {"http": "http", "websocket": "ws"}[kind],
        "client": [peer, 1234] if peer else None,
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }


def client(rules: ProxyRules, asked: dict[str, Any]) -> str | None:
    rules.apply(asked)
    return asked["client"][0] if asked["client"] else None


BEHIND = ProxyRules.of(["10.0.0.0/24", "fd00::1/128"])


def test_without_a_proxy_nothing_is_believed() -> None:
    asked = scope("127.0.0.1", ("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https"))
    ProxyRules().apply(asked)
    assert (asked["client"][0], asked["scheme"]) == ("127.0.0.1", "http")


def test_a_stranger_is_not_believed() -> None:
    asked = scope("198.51.100.7", ("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https"))
    BEHIND.apply(asked)
    assert (asked["client"][0], asked["scheme"]) == ("198.51.100.7", "http")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("1.1.1.1, 192.0.2.1", "192.0.2.1"),
        ("1.1.1.1, 192.0.2.1, 10.0.0.9", "192.0.2.1"),
        ("10.0.0.7, 10.0.0.9", "10.0.0.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("192.0.2.1:8080", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("rubbish", "10.0.0.1"),
        ("192.0.2.1, rubbish", "10.0.0.1"),
        ("", "10.0.0.1"),
        (", , ,", "10.0.0.1"),
        ("1.1.1.1," * 5000 + "192.0.2.1", "192.0.2.1"),
    ],
)
def test_the_last_address_that_is_no_proxy_of_ours_is_the_client(header: str, expected: str) -> None:
    assert client(BEHIND, scope("10.0.0.1", ("x-forwarded-for", header))) == expected


def test_repeated_headers_are_one_list() -> None:
    asked = scope("10.0.0.1", ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.1"))
    assert client(BEHIND, asked) == "192.0.2.1"


def test_a_proxy_on_a_unix_socket_is_believed_when_there_is_one() -> None:
    assert client(BEHIND, scope(None, ("x-forwarded-for", "192.0.2.1"))) == "192.0.2.1"


@pytest.mark.parametrize(("kind", "secure"), [("http", "https"), ("websocket", "wss")])
def test_the_scheme_is_what_the_nearest_proxy_says(kind: str, secure: str) -> None:
    asked = scope("10.0.0.1", ("x-forwarded-proto", "http, https"), kind=kind)
    BEHIND.apply(asked)
    assert asked["scheme"] == secure
    asked = scope("10.0.0.1", ("x-forwarded-proto", "https, http"), kind=kind)
    BEHIND.apply(asked)
    assert asked["scheme"] != secure


@pytest.mark.parametrize(
    ("value", "networks"),
    [
        ("", ()),
        ("0", ()),
        ("1", PRIVATE_NETWORKS),
        ("10.0.0.1, fd00::/8", ("10.0.0.1/32", "fd00::/8")),
    ],
)
def test_proxies_are_named_by_their_networks(value: str, networks: tuple[str, ...]) -> None:
    assert parse_proxies(value) == networks


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(ValueError, match="proxy"):
        parse_proxies("proxy")
