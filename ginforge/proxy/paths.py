"""Which service a path belongs to, and paths that programs could read differently (RFC 3986 sections 5.2.4, 6.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from ginforge.proxy.answers import Refusal
from ginforge.proxy.conf import PREFIX, SEGMENTS

_TARGET: Final = re.compile(rb"/[!$&'()*+,\-./0-9:;=@A-Z_a-z~%]*")
_QUERY: Final = re.compile(rb"[!-\"$-~]*")
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# An encoded slash, backslash, NUL or control character; a percent sign that hides one of them or a dot from us.
_HIDDEN: Final = re.compile(rb"%(?:2f|5c|[01][0-9a-f]|7f|25(?:2e|2f|5c|00|25))", re.IGNORECASE)


def segment_of(path: str) -> str | None:
    """Return the proxied service that a decoded path names, or ``None`` when it is not the proxy's."""
    if not path.startswith(PREFIX):
        return None
    segment = path[len(PREFIX) :].partition("/")[0]
    return segment if segment in SEGMENTS else None


def raw_target(scope: Mapping[str, Any], segment: str) -> str:
    """Return the path and query to ask the upstream for, exactly as the client wrote them.

    Raises ``Refusal`` (400) for what is not plainly a path below the service's own.
    """
    raw: bytes = scope.get("raw_path") or quote(scope["path"], safe="/!$&'()*+,;=:@~").encode()
    raw = raw.partition(b"?")[0]
    query: bytes = scope.get("query_string") or b""
    if not _TARGET.fullmatch(raw) or not _QUERY.fullmatch(query):
        raise _refusal("holds characters that belong encoded")
    own = f"{PREFIX}{segment}".encode()
    if raw != own and not raw.startswith(own + b"/"):
        raise _refusal("is not written in the plain form")
    if _BAD_ESCAPE.search(raw) or _HIDDEN.search(raw):
        raise _refusal("holds an encoded slash, backslash or control character")
    if any(_is_dots(part) for part in raw.split(b"/")):
        raise _refusal("holds . or .. as a segment")
    return (raw + (b"?" + query if query else b"")).decode("ascii")


def _is_dots(segment: bytes) -> bool:
    """Tell whether a segment means "here" or "up", also as servers read it that cut parameters off (``..;x``)."""
    plain = re.sub(rb"%2e", b".", segment.partition(b";")[0], flags=re.IGNORECASE)
    return plain in (b".", b"..") or (plain.startswith(b"..") and plain.strip(b".") == b"")


def _refusal(why: str) -> Refusal:
    return Refusal(400, "bad_path", f"The path {why}")
