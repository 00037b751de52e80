"""How a request carries its token."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.auth import Credentials, token_from_scope


def scope(
    query: bytes = b"", headers: list[tuple[bytes, bytes]] | None = None, subprotocols: list[str] | None = None
) -> dict[str, Any]:
    return {"query_string": query, "headers": headers or [], "subprotocols": subprotocols or []}


BEARER = (b"authorization", b"Bearer from-header")


def test_the_subprotocol_comes_before_the_header_and_the_header_before_the_query() -> None:
    everything = scope(b"token=from-query", [BEARER], ["bearer", "from-subprotocol"])
    assert token_from_scope(everything) == Credentials("from-subprotocol", "bearer")
    assert token_from_scope(scope(b"token=from-query", [BEARER])) == Credentials("from-header")
    assert token_from_scope(scope(b"token=from-query")) == Credentials("from-query", in_query=True)
    assert token_from_scope(scope(b"resume=1")) is None
    assert token_from_scope({}) is None


@pytest.mark.parametrize("value", [b"bearer x", b"BEARER x", b"Bearer   x  "])
def test_the_scheme_of_the_header_is_read_in_any_case(value: bytes) -> None:
    assert token_from_scope(scope(headers=[(b"authorization", value)])) == Credentials("x")


def test_another_scheme_is_no_token() -> None:
    assert token_from_scope(scope(headers=[(b"authorization", b"Basic dTpw")])) is None


@pytest.mark.parametrize("query", [b"token=a&token=b", b"token=a&token=a", b"token=&token=a", b"token=a&%74oken=b"])
@pytest.mark.parametrize("subprotocols", [[], ["bearer", "jwt"]])
def test_two_token_parameters_are_refused(query: bytes, subprotocols: list[str]) -> None:
    found = token_from_scope(scope(query, [BEARER], subprotocols))
    assert found is not None
    assert found.token == ""
    assert found.subprotocol == ("bearer" if subprotocols else None)


def test_two_authorization_headers_are_refused() -> None:
    found = token_from_scope(scope(headers=[BEARER, (b"authorization", b"Bearer other")]))
    assert found is not None
    assert found.token == ""


def test_the_query_parameter_can_be_switched_off() -> None:
    found = token_from_scope(scope(b"token=x"), allow_query=False)
    assert found is not None
    assert found.token == ""


def test_the_bearer_subprotocol_without_a_token_is_refused() -> None:
    assert token_from_scope(scope(subprotocols=["bearer"])) == Credentials("", "bearer")
    assert token_from_scope(scope(subprotocols=["chat", "bearer", "jwt"])) == Credentials("jwt", "bearer")


def test_the_token_is_not_in_the_representation() -> None:
    assert "secret" not in repr(Credentials("secret"))


@given(st.binary(), st.lists(st.tuples(st.sampled_from([b"authorization", b"x"]), st.binary())), st.lists(st.text()))
def test_no_request_makes_it_raise(query: bytes, headers: list[tuple[bytes, bytes]], subprotocols: list[str]) -> None:
    token_from_scope(scope(query, headers, subprotocols))
    token_from_scope(scope(b"token=" + query, headers, subprotocols))
