"""What the proxy itself answers: refusals and failures, as JSON with a stable code."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

Header = tuple[bytes, bytes]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Scope = dict[str, Any]


class Refusal(Exception):
    """A request that ends with an answer of our own: HTTP ``status``, a ``code`` for programs, a text for people."""

    def __init__(self, status: int, code: str, detail: str, headers: Iterable[Header] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = tuple(headers)

    def body(self, request_id: str) -> bytes:
        """Return the JSON text."""
        return json.dumps({"detail": self.detail, "code": self.code, "request_id": request_id}).encode()


class ClientGone(Exception):
    """The client has hung up: nobody is left to answer."""


async def answer(send: Send, refusal: Refusal, request_id: str, *, kind: str = "http.response") -> None:
    """Send a refusal; ``kind`` is ``websocket.http.response`` for one before the upgrade."""
    body = refusal.body(request_id)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-request-id", request_id.encode()),
        *refusal.headers,
    ]
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
