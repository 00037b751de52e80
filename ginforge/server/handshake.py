"""The opening handshake as pure functions: request head to ``Handshake``, and the answers to it (RFC 6455 section 4.2).

Origin is not judged here: the application does that, and refuses with a 403.
"""

import base64
import binascii
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

Headers = list[tuple[bytes, bytes]]

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TOKEN: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
_FORBIDDEN_IN_VALUE: Final = re.compile(rb"[\x00\r\n\x0b\x0c\x1c-\x1e\x85]")
_UPGRADE: Final = re.compile(rb"\r\nupgrade[ \t]*:[^\r\n]*websocket", re.IGNORECASE)
_ONCE: Final = (b"host", b"sec-websocket-key", b"sec-websocket-version", b"origin")


@dataclass(frozen=True, slots=True)
class Handshake:
    """A valid request to upgrade; ``headers`` have lower-case names and keep their order."""

    target: bytes
    headers: Headers
    key: bytes
    subprotocols: list[str]
    root_path: str | None = None

    @property
    def raw_path(self) -> bytes:
        """The path as sent, without the query."""
        return self.target.partition(b"?")[0]

    @property
    def path(self) -> str:
        """The path, percent-decoded."""
        return unquote(self.raw_path.decode("ascii"))

    @property
    def query_string(self) -> bytes:
        """What follows the question mark, as sent."""
        return self.target.partition(b"?")[2]


class HandshakeError(ValueError):
    """A request that may not be upgraded, with the answer it deserves."""

    def __init__(self, reason: str, status: int = 400, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = list(headers)


def asks_for_upgrade(head: bytes) -> bool:
    """Tell whether a request head is a GET that wants to become a WebSocket."""
    return head.startswith(b"GET ") and _UPGRADE.search(head) is not None


def parse(head: bytes) -> Handshake:
    """Return the handshake in a request head that ends in an empty line; raises HandshakeError."""
    request_line, *lines = head.split(b"\r\n\r\n", 1)[0].split(b"\r\n")
    target = _target(request_line)
    headers: Headers = []
    seen: dict[bytes, bytes] = {}
    root_path = None
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name):
            raise HandshakeError("Invalid header name")
        name, value = name.lower(), value.strip(b" \t")
        if _FORBIDDEN_IN_VALUE.search(value):
            raise HandshakeError("Invalid header value")
        if b"_" in name:
            # CVE-2015-0219: X_Forwarded_For must not pass for X-Forwarded-For.
            continue
        if name == b"daphne-root-path":
            root_path = unquote(value.decode("latin-1"))
            continue
        headers.append((name, value))
        seen[name] = seen[name] + b"," + value if name in seen else value
    _check_single(headers, seen)
    key = _check_upgrade(seen)
    return Handshake(target, headers, key, _subprotocols(seen), root_path)


def accept_response(
    handshake: Handshake, subprotocol: str | None = None, extra: Iterable[tuple[bytes, bytes]] = (), server: str = ""
) -> bytes:
    """Return the 101 response; raises ValueError for a subprotocol that was not offered or an unsafe header."""
    if subprotocol is not None and subprotocol not in handshake.subprotocols:
        raise ValueError(f"the client did not offer the subprotocol {subprotocol!r}")
    digest = base64.b64encode(hashlib.sha1(handshake.key + _MAGIC, usedforsecurity=False).digest())
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
    if server:
        lines.append(b"Server: " + server.encode("latin-1"))
    lines.append(b"Sec-WebSocket-Accept: " + digest)
    if subprotocol is not None:
        lines.append(b"Sec-WebSocket-Protocol: " + subprotocol.encode("ascii"))
    lines.extend(_header_lines(extra))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def refusal_response(
    status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes | None, server: str = ""
) -> bytes:
    """Return a whole response that ends the connection, or its head alone when ``body`` is None."""
    lines = [b"HTTP/1.1 %d %s" % (status, _phrase(status)), b"Connection: close"]
    given = list(headers)
    names = {name.lower() for name, _ in given}
    if server and b"server" not in names:
        lines.append(b"Server: " + server.encode("latin-1"))
    if body is not None and b"content-length" not in names:
        lines.append(b"Content-Length: %d" % len(body))
    lines.extend(line for line in _header_lines(given) if not line.lower().startswith(b"connection:"))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def _target(request_line: bytes) -> bytes:
    parts = request_line.split(b" ")
    if len(parts) != 3 or parts[0] != b"GET" or parts[2] != b"HTTP/1.1":
        raise HandshakeError("A WebSocket opens with a GET over HTTP/1.1")
    target = parts[1]
    if not target.startswith(b"/"):
        # The absolute form (RFC 9112 section 3.2.2).
        target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
    if not target.isascii() or b"#" in target:
        raise HandshakeError("Invalid characters in path")
    return target


def _check_single(headers: Headers, seen: dict[bytes, bytes]) -> None:
    if len(seen) != len(headers):
        counts = Counter(name for name, _ in headers)
        for name in _ONCE:
            if counts[name] > 1:
                raise HandshakeError(f"More than one {name.decode()} header")
    if b"host" not in seen:
        raise HandshakeError("Host header missing")


def _check_upgrade(seen: dict[bytes, bytes]) -> bytes:
    if not _lists(seen.get(b"upgrade", b""), b"websocket"):
        raise HandshakeError("Upgrade header does not name websocket", 426, [(b"Upgrade", b"websocket")])
    if not _lists(seen.get(b"connection", b""), b"upgrade"):
        raise HandshakeError("Connection header does not name upgrade")
    if seen.get(b"sec-websocket-version") != b"13":
        raise HandshakeError("Sec-WebSocket-Version must be 13", 426, [(b"Sec-WebSocket-Version", b"13")])
    key = seen.get(b"sec-websocket-key", b"")
    try:
        valid = len(key) == 24 and len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        valid = False
    if not valid:
        raise HandshakeError("Sec-WebSocket-Key must be 16 bytes in base64")
    return key


def _lists(value: bytes, wanted: bytes) -> bool:
    return any(part.strip().lower() == wanted for part in value.split(b","))


def _subprotocols(seen: dict[bytes, bytes]) -> list[str]:
    offered = seen.get(b"sec-websocket-protocol")
    if offered is None:
        return []
    return [part.strip() for part in unquote(offered.decode("latin-1")).split(",")]


def _header_lines(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    lines = []
    for name, value in headers:
        if not _TOKEN.fullmatch(name) or _FORBIDDEN_IN_VALUE.search(value):
            raise ValueError(f"not a header that can be sent: {name!r}")
        lines.append(name + b": " + value)
    return lines


def _phrase(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"
