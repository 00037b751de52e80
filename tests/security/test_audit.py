"""What concerns security is logged, stored and shown; never a token, and never without bound."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.clients import Client
from tests.integration.programs import wait_until
from tests.integration.stack import Stack, make_token
from tests.security.pages import Browser

PASSWORD = "correct horse 1"


@pytest.fixture
def logged(start_stack: Callable[..., Stack]) -> Stack:
    return start_stack({"LOG_FORMAT": "json", "LOCKOUT_FAILURES": "2", "LOGIN_RATE": "1000/min"})


def lines(stack: Stack) -> list[dict[str, Any]]:
    """Return the audit's lines of the gateway's log."""
    found = [json.loads(line) for line in stack.gateway.log.splitlines() if line.startswith("{")]
    return [line for line in found if line["logger"] == "realtime.audit"]


def add_user(stack: Stack, name: str, **flags: bool) -> str:
    code = (
        "from django.contrib.auth.models import User, Permission;"
        f"user = User.objects.create_user({name!r}, password={PASSWORD!r}, is_staff=True, **{flags!r});"
        "user.user_permissions.set(Permission.objects.filter(codename='view_auditevent')) if 'auditor' in "
        f"{name!r} else None; print(user.pk)"
    )
    return stack.manage("shell", "--no-imports", "-c", code).strip()


def admin(stack: Stack, name: str) -> Browser:
    browser = Browser(stack.gateway.port)
    assert browser.log_in(name, PASSWORD).status == 302
    return browser


async def cause_everything(stack: Stack) -> list[str]:
    """Make one of each event; return the tokens that were used."""
    gateway = stack.gateway
    browser = Browser(gateway.port)
    staff, user = make_token("boss", is_staff=True), make_token("mallory")
    bad = make_token("mallory", key="another-signing-key-0123456789-abcdefgh")
    async with Client(f"{gateway.ws_url}?token={bad}") as refused:
        assert (await refused.wait_closed())[0] == 4401
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==", "Origin": "https://evil.example"}  # fmt: skip
    assert browser.ask("GET", "/ws", headers=upgrade).status == 403
    assert browser.get("/ws/online-users", Authorization=f"Bearer {bad}").status == 401
    assert browser.get("/api/v1/realtime/nodes/", Authorization=f"Bearer {user}").status == 403
    boss = {"Authorization": f"Bearer {staff}"}
    everybody = {"title": "SECRET-TITLE", "body": "SECRET-BODY"}
    assert browser.post_json("/api/v1/notifications/send/all/", everybody, **boss).status == 202
    assert browser.post_json("/api/v1/realtime/disconnect/", {"user_id": "x", "revoke": True}, **boss).status == 202
    for _ in range(2):
        browser.post_json("/api/v1/auth/token/", {"username": "root", "password": "SECRET-GUESS"})
    with stack.redis() as redis:
        entry = {"channel": "websocket:x", "payload": "{}", "size": 2, "reason": "r", "source": "pubsub", "at": 1}
        letter = redis.xadd("ginforge:deadletters", entry).decode()
    root = admin(stack, "root2")
    path = f"/admin/realtime/deadletterbox/{letter}/drop/"
    assert root.ask("POST", path, b"", {"X-CSRFToken": root.cookies["csrftoken"]}).status == 302
    return [staff, user, bad]


EXPECTED = {
    "token_refused", "origin_refused", "permission_denied", "staff_sent", "disconnected", "revoked", "login_failed",
    "locked_out", "dead_letter", "login",
}  # fmt: skip


async def test_each_kind_of_event_is_a_line_and_a_row_without_secrets(logged: Stack) -> None:
    add_user(logged, "root")
    add_user(logged, "root2", is_superuser=True)
    add_user(logged, "auditor")
    tokens = await cause_everything(logged)
    wait_until(lambda: {line["event"] for line in lines(logged)} >= EXPECTED, "a line of each kind")
    written = json.dumps(lines(logged))
    page = Browser(0)

    def page_has_all() -> bool:
        nonlocal page
        page = admin(logged, "auditor")
        return all(f"event__exact={kind}" in page.get("/admin/realtime/auditevent/").body for kind in EXPECTED)

    wait_until(page_has_all, "the admin page")
    rows = page.get("/admin/realtime/auditevent/?q=root").body
    assert "locked out" in rows
    filtered = page.get("/admin/realtime/auditevent/?event__exact=staff_sent").body
    assert "everybody" in filtered
    for secret in [*tokens, *(token.rpartition(".")[2] for token in tokens), "SECRET", PASSWORD]:
        assert secret not in written + rows + filtered + logged.gateway.log
    assert [line["detail"] for line in lines(logged) if line["event"] == "token_refused"] == ["signature"] * 2
    assert all(line["address"].startswith("127.0.0.1") for line in lines(logged) if line["event"] != "revoked")


def test_the_page_is_read_only_and_needs_its_own_permission(logged: Stack) -> None:
    add_user(logged, "auditor")
    add_user(logged, "helper")
    path = "/admin/realtime/auditevent/"
    assert admin(logged, "helper").get(path).status == 403
    auditor = admin(logged, "auditor")
    wait_until(lambda: "permission denied" in auditor.get(path).body, "the helper's refusal in the audit")
    found = auditor.get(path).body.partition("/admin/realtime/auditevent/")[2]
    assert 'name="_save"' not in found
    for forbidden in ("add/", "1/delete/"):
        assert auditor.get(path + forbidden).status == 403
    token = {"X-CSRFToken": auditor.cookies["csrftoken"]}
    assert auditor.ask("POST", path + "1/change/", b"event=x", token).status == 403
    delete = b"action=delete_selected&_selected_action=1"
    form = {**token, "Content-Type": "application/x-www-form-urlencoded"}
    auditor.ask("POST", path, delete, form)
    assert "permission denied" in auditor.get(path).body


async def test_a_flood_of_refused_tokens_does_not_fill_the_database(logged: Stack) -> None:
    browser = Browser(logged.gateway.port)
    began = time.monotonic()
    for _ in range(600):
        assert browser.get("/ws/online-users", Authorization="Bearer rubbish").status in (401, 429)
    took = time.monotonic() - began
    count = "from realtime.models import AuditEvent as A; print(A.objects.filter(event='{}').count())"

    def stored(event: str) -> int:
        return int(logged.manage("shell", "--no-imports", "-c", count.format(event)))

    wait_until(lambda: stored("left_out") > 0, "the row that says how many were left out")
    assert 0 < stored("token_refused") <= 200 + 5 * (took + 1)
    assert len(lines(logged)) < 600
