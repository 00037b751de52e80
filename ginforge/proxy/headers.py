"""Headers on their way through: what is dropped, what is ours to say (RFC 9110 section 7.6, W3C Trace Context)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from multidict import CIMultiDict

from ginforge.proxy.answers import Header, Refusal
from realtime.principal import Principal

HOP_BY_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade")
)  # fmt: skip
_OURS: Final = frozenset(
    (b"host", b"expect", b"forwarded", b"x-real-ip", b"x-request-id", b"x-original-url", b"x-rewrite-url",
     b"x-original-host", b"x-authenticated-user", b"remote-user", b"traceparent", b"tracestate")
)  # fmt: skip
_OUR_PREFIXES: Final = (b"x-forwarded-", b"x-user-", b"x-gateway-")
"""What only the gateway may say to a service."""
_HANDSHAKE: Final = (b"sec-websocket-", b"content-length")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:=+/-]{1,128}")
_TRACEPARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def request_id(headers: Iterable[Header]) -> str:
    """Return the client's X-Request-Id when there is one fit for a log, else a new one."""
    found = [value for name, value in headers if name == b"x-request-id"]
    if len(found) == 1 and _REQUEST_ID.fullmatch(found[0]):
        return found[0].decode("ascii")
    return uuid.uuid4().hex


def upstream_headers(
    scope: Mapping[str, Any], ident: str, principal: Principal | None, *, host: str | None, drop_length: bool = False
) -> CIMultiDict[str]:
    """Return the headers for the upstream: the client's less what is not its to say, and ours.

    Names with an underscore are dropped: WSGI services read ``X_User_Id`` as ``X-User-Id``. ``host`` replaces nothing
    when ``None``. Raises ``Refusal`` for values that are not UTF-8.
    """
    given: list[Header] = [(name.lower(), value) for name, value in scope["headers"]]
    dropped = HOP_BY_HOP | _named_by_connection(given)
    kept: CIMultiDict[str] = CIMultiDict()
    for name, value in given:
        if name in dropped or name in _OURS or name.startswith(_OUR_PREFIXES) or b"_" in name:
            continue
        if name == b"content-length" and drop_length:
            continue
        if scope["type"] == "websocket" and name.startswith(_HANDSHAKE):
            continue
        kept.add(name.decode("ascii"), _text(value))
    _add_forwarded(kept, scope, given)
    _add_trace(kept, given)
    kept["X-Request-Id"] = ident
    if host is not None:
        kept["Host"] = host
    if principal is not None:
        kept.update(user_headers(principal))
    return kept


def user_headers(principal: Principal) -> dict[str, str]:
    """Return the verified user as a service reads it; id and name percent-encoded UTF-8, as headers are ASCII."""
    return {
        "X-User-Id": quote(principal.user_id, safe="!#$&'()*+,/:;=?@[]~"),
        "X-User-Name": quote(principal.username, safe="!#$&'()*+,/:;=?@[]~"),
        "X-User-Staff": "1" if principal.is_staff else "0",
    }


def response_headers(raw: Iterable[Header], ident: str, *, status: int) -> list[Header]:
    """Return the upstream's headers in their order, repeated ones too, less those of its connection."""
    given = [(name.lower(), value) for name, value in raw]
    dropped = HOP_BY_HOP | _named_by_connection(given) | {b"x-request-id"}
    if status == 204:
        dropped |= {b"content-length"}
    return [*((name, value) for name, value in given if name not in dropped), (b"x-request-id", ident.encode())]


def host_of(scope: Mapping[str, Any]) -> str:
    """Return the one Host header; raises ``Refusal`` when there is none or several."""
    hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
    if len(hosts) != 1:
        raise Refusal(400, "bad_host", "One Host header is needed")
    return str(hosts[0], "latin-1")


def _named_by_connection(headers: Iterable[Header]) -> frozenset[bytes]:
    return frozenset(
        token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")
    )


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Refusal(400, "bad_header", "A header is not UTF-8") from None


def _add_forwarded(kept: CIMultiDict[str], scope: Mapping[str, Any], given: Iterable[Header]) -> None:
    client = scope.get("client")
    if client:
        kept["X-Forwarded-For"] = kept["X-Real-IP"] = str(client[0])
    secure = scope.get("scheme") in ("https", "wss")
    kept["X-Forwarded-Proto"] = "https" if secure else "http"
    for name, value in given:
        if name == b"host":
            kept["X-Forwarded-Host"] = _text(value)


def _add_trace(kept: CIMultiDict[str], given: Iterable[Header]) -> None:
    """Pass the trace context on when its parent is well-formed; the state alone means nothing."""
    headers = list(given)
    parents = [value for name, value in headers if name == b"traceparent"]
    if len(parents) == 1 and _TRACEPARENT.fullmatch(parents[0]):
        kept["traceparent"] = parents[0].decode("ascii")
        for name, value in headers:
            if name == b"tracestate":
                kept.add("tracestate", _text(value))
