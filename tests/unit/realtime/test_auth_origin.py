"""Which pages may open a WebSocket."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.auth.origin import OriginRules, build_rules, origin_allowed

NONE = OriginRules()


def scope(*origins: str, host: str | None = "gw.example.com:8080") -> dict[str, Any]:
    headers = [(b"origin", origin.encode("latin-1")) for origin in origins]
    if host is not None:
        headers.append((b"host", host.encode("latin-1")))
    return {"headers": headers}


def test_a_request_without_an_origin_passes() -> None:
    assert origin_allowed(scope(), NONE)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://gw.example.com:8080", "gw.example.com:8080"),
        ("https://gw.example.com", "gw.example.com"),
        ("https://gw.example.com", "gw.example.com:443"),
        ("http://gw.example.com:80", "gw.example.com"),
        ("http://GW.example.COM", "gw.Example.com"),
        ("http://[::1]:8080", "[::1]:8080"),
    ],
)
def test_the_requests_own_host_passes(origin: str, host: str) -> None:
    assert origin_allowed(scope(origin, host=host), NONE)


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "https://evil.example",
        "http://gw.example.com",
        "http://gw.example.com:8081",
        "http://gw.example.com:8080/",
        "http://gw.example.com:8080@evil.example",
        "http://evil.example#gw.example.com:8080",
        "http://gw.example.com:8080.evil.example",
        "gw.example.com:8080",
        "//gw.example.com:8080",
        "http://gw.example.com:99999",
        "http://gw.example.com:",
        "http://[::1",
        "http://[evil]]:8080",
        "http://gw.example.com:8080\n",
        " http://gw.example.com:8080",
        "http://\u00e9.example",
        "ws://gw.example.com:8080",
        "file://",
    ],
)
def test_a_foreign_empty_or_malformed_origin_is_refused(origin: str) -> None:
    assert not origin_allowed(scope(origin), NONE)


def test_two_origins_or_two_hosts_prove_nothing() -> None:
    own = "http://gw.example.com:8080"
    assert not origin_allowed(scope(own, own), NONE)
    doubled = scope(own)
    doubled["headers"].append((b"host", b"other"))
    assert not origin_allowed(doubled, NONE)
    assert not origin_allowed(scope(own, host=None), NONE)


def test_listed_origins_pass_exactly() -> None:
    rules = build_rules(["https://app.example.org", "capacitor://localhost", "https://*.shop.example/"])
    for good in (
        "https://app.example.org:443",
        "capacitor://localhost",
        "https://a.shop.example",
        "https://a.b.shop.example",
    ):
        assert origin_allowed(scope(good), rules), good
    for bad in (
        "http://app.example.org",
        "https://app.example.org:444",
        "https://shop.example",
        "https://evilshop.example",
        "http://a.shop.example",
    ):
        assert not origin_allowed(scope(bad), rules), bad


def test_a_star_lets_every_well_formed_origin_in() -> None:
    rules = build_rules(["*"])
    assert origin_allowed(scope("https://anything.example"), rules)
    assert not origin_allowed(scope("null"), rules)


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:5173", "http://app.localhost"]
)
def test_loopback_pages_pass_only_under_debug(origin: str) -> None:
    assert origin_allowed(scope(origin), OriginRules(loopback=True))
    assert not origin_allowed(scope(origin), NONE)


@pytest.mark.parametrize(
    "origin", ["http://localhost.evil.example", "http://127.0.0.1.evil.example", "http://127.1.evil"]
)
def test_a_name_that_only_looks_like_loopback_is_refused(origin: str) -> None:
    assert not origin_allowed(scope(origin), OriginRules(loopback=True))


@pytest.mark.parametrize("entry", ["example.com", "", "https://a/b", "null"])
def test_a_wrong_entry_in_the_list_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="not an origin"):
        build_rules([entry])


@given(st.binary(), st.binary())
def test_no_headers_make_it_raise(origin: bytes, host: bytes) -> None:
    for value in (origin, b"http://" + origin, b"http://[" + origin + b"]"):
        origin_allowed({"headers": [(b"origin", value), (b"host", host)]}, OriginRules(loopback=True))
