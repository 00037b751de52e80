"""How a WebSocket request carries its token (DESIGN 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

SUBPROTOCOL: Final = "bearer"
_MAX_QUERY_FIELDS: Final = 100
_REFUSED: Final = ""
"""No verifier accepts the empty token, so an ambiguous request fails like any bad token does."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The token of a request, and the subprotocol to answer so that a browser keeps the connection."""

    token: str = field(repr=False)
    """Empty when the request was ambiguous; such a token is always refused."""
    subprotocol: str | None = None
    in_query: bool = False


def token_from_scope(scope: Mapping[str, Any], *, allow_query: bool = True) -> Credentials | None:
    """Find the token of an ASGI WebSocket scope; ``None`` when there is none at all.

    In this order: ``Sec-WebSocket-Protocol: bearer, <jwt>``, ``Authorization: Bearer <jwt>``, ``?token=<jwt>``.
    Two ``token`` parameters, or two ``Authorization`` headers, are refused whatever else the request holds.
    """
    in_query = _query_tokens(scope.get("query_string") or b"")
    offered = scope.get("subprotocols") or ()
    if len(in_query) > 1:
        return Credentials(_REFUSED, SUBPROTOCOL if SUBPROTOCOL in offered else None, in_query=True)
    if SUBPROTOCOL in offered:
        following = offered[offered.index(SUBPROTOCOL) + 1 :]
        return Credentials(following[0] if following else _REFUSED, SUBPROTOCOL)
    bearer = _bearer(scope.get("headers") or ())
    if bearer is not None:
        return Credentials(bearer)
    if in_query:
        return Credentials(in_query[0] if allow_query else _REFUSED, in_query=True)
    return None


def _query_tokens(query: bytes) -> list[str]:
    if not query or (b"token" not in query and b"%" not in query):
        return []
    try:
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_QUERY_FIELDS)
    except ValueError:
        return [_REFUSED]
    return [value for name, value in pairs if name == "token"]


def _bearer(headers: Any) -> str | None:
    values = [value for name, value in headers if name == b"authorization"]
    if len(values) > 1:
        return _REFUSED
    if not values or values[0][:7].lower() != b"bearer ":
        return None
    token: str = values[0][7:].strip().decode("latin-1")
    return token
