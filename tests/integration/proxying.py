"""Upstreams as processes, and raw requests, for the tests of the proxy."""

from __future__ import annotations

import http.client
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from tests.integration.programs import Program


class Upstream(Program):
    """``tests.integration.proxy_upstream`` on a free port, or on the port it had before."""

    def __init__(self, name: str, port: int = 0) -> None:
        super().__init__(name, [sys.executable, "-m", "tests.integration.proxy_upstream", name, str(port)])
        self.port = port

    def start(self) -> Self:
        super().start()
        self.wait_for_log("listening on ")
        found = re.search(r"listening on (\d+)", self.log)
        assert found is not None
        self.port = int(found[1])
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def state(self) -> dict[str, Any]:
        return ask(self.url, "/api/v1/user/_state").json

    def set(self, **changes: Any) -> None:
        ask(self.url, "/api/v1/user/_set", "POST", json.dumps(changes).encode())


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str:
        (value,) = self.all(name)
        return value

    def seen(self) -> dict[str, str]:
        """Return the headers that the upstream's echo saw."""
        return {name.lower(): value for name, value in self.json["headers"]}


def ask(
    base: str,
    path: str,
    method: str = "GET",
    body: bytes | Iterable[bytes] | None = None,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    timeout: float = 30,
) -> Answer:
    """Send one request, its path exactly as given."""
    connection = http.client.HTTPConnection(urlsplit(base).netloc, timeout=timeout)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in dict(headers).items() if isinstance(headers, Mapping) else headers:
            connection.putheader(name, value)
        if isinstance(body, bytes):
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
        elif body is not None:
            connection.putheader("Transfer-Encoding", "chunked")
            connection.endheaders(body, encode_chunked=True)
        else:
            connection.endheaders()
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        connection.close()
