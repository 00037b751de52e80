"""What security tests look at from outside: metrics, logs, and the API as staff use it."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
import uuid
from typing import Any

from tests.integration.stack import Gateway, Stack, get, make_token


def fresh(prefix: str) -> str:
    """Return a name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def sample(gateway: Gateway, name: str, **labels: str) -> float:
    """Return a metric's value, summed over all label values that are not given."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    lines = re.findall(rf"^{re.escape(name)}(\{{[^}}]*\}})? (\S+)$", get(f"{gateway.url}/metrics")[1], re.MULTILINE)
    return sum(float(value) for found, value in lines if all(part in found for part in wanted))


def limit_hits(gateway: Gateway, limit: str) -> float:
    """Return how often a limit was reached."""
    return sample(gateway, "websocket_limit_hits_total", limit=limit)


def post(url: str, body: dict[str, Any], *, token: str | None = None) -> tuple[int, Any]:
    """POST JSON and return (status, answer)."""
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(url, data=json.dumps(body).encode(), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")


def order(stack: Stack, **body: Any) -> None:
    """Disconnect as staff do."""
    token = make_token("boss", is_staff=True)
    status, answer = post(f"{stack.url}/api/v1/realtime/disconnect/", body, token=token)
    assert status == 202, answer


def tracebacks(stack: Stack) -> list[str]:
    """Return the lines of all logs that show that something was not foreseen."""
    programs = [*stack.gateways, *stack.bridges]
    marks = ("Traceback", "level=error", "level=critical", "exception")
    return [line for program in programs for line in program.log.splitlines() if any(mark in line for mark in marks)]
