"""HTTP as a client that keeps cookies and shows what it got."""

from __future__ import annotations

import http.client
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True)
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: str

    @property
    def cookies(self) -> dict[str, str]:
        """Attributes by the name of the cookie, in lower case."""
        return {line.partition("=")[0]: line.lower() for line in self.headers.get_all("Set-Cookie") or []}

    def json(self) -> Any:
        return json.loads(self.body)


class Browser:
    """Sends what it was given back, whatever the cookies' attributes say."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {"Cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())} if self.cookies else {}
        connection.request(method, path, body, {**sent, **(headers or {})})
        response = connection.getresponse()
        answer = Answer(response.status, response.headers, response.read().decode("utf-8", "replace"))
        connection.close()
        for line in answer.headers.get_all("Set-Cookie") or []:
            name, _, rest = line.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=_headers(headers))

    def post_json(self, path: str, body: Any, **headers: str) -> Answer:
        found = {"Content-Type": "application/json", **_headers(headers)}
        return self.ask("POST", path, json.dumps(body).encode(), found)

    def post_form(self, path: str, fields: dict[str, str], **headers: str) -> Answer:
        found = {"Content-Type": "application/x-www-form-urlencoded", **_headers(headers)}
        return self.ask("POST", path, urlencode(fields).encode(), found)

    def log_in(self, username: str, password: str) -> Answer:
        """Send the admin's login form with its CSRF token."""
        page = self.get("/admin/login/").body
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        fields = {"username": username, "password": password, "csrfmiddlewaretoken": found[1] if found else ""}
        return self.post_form("/admin/login/?next=/admin/", fields)


def _headers(named: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in named.items()}
