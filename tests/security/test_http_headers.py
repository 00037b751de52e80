"""What browsers are told: content policy, framing, sniffing, cookies, HTTPS; and who may speak for a client."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.clients import Client
from tests.integration.programs import ROOT, passing_environment
from tests.integration.stack import Gateway, Stack, make_token, production_environment
from tests.security.pages import Browser

PASSWORD = "correct horse 1"
PAGES = [
    "/",
    "/admin/login/",
    "/api/docs/",
    "/api/docs/?script=",
    "/api/schema/",
    "/nothing",
    "/static/realtime/client.js",
]


def directives(policy: str) -> dict[str, list[str]]:
    return {name: values for name, *values in (part.split() for part in policy.split(";") if part.strip())}


@pytest.fixture
def browser(stack: Stack) -> Browser:
    return Browser(stack.gateway.port)


def add_user(stack: Stack, name: str, *, superuser: bool = True) -> None:
    code = (
        "from django.contrib.auth.models import User\n"
        f"User.objects.filter(username={name!r}).delete()\n"
        f"User.objects.create_user({name!r}, password={PASSWORD!r}, is_staff=True, is_superuser={superuser})"
    )
    stack.manage("shell", "--no-imports", "-c", code)


@pytest.mark.parametrize("path", PAGES)
def test_every_answer_carries_the_headers(browser: Browser, path: str) -> None:
    headers = browser.get(path).headers
    policy = directives(headers["Content-Security-Policy"])
    assert policy["default-src"] == ["'none'"]
    assert policy["frame-ancestors"] == ["'none'"]
    assert policy["base-uri"] == ["'none'"]
    for name in ("script-src", "style-src"):
        assert "'self'" in policy[name]
        assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:", "data:"} & set(policy[name])
    assert headers["X-Content-Type-Options"] == "nosniff"
    if not path.startswith("/static/"):
        assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_a_nonce_is_good_for_one_answer(browser: Browser) -> None:
    answers = [browser.get("/api/docs/") for _ in range(2)]
    nonces = [re.search(r"'nonce-([^']+)'", answer.headers["Content-Security-Policy"]) for answer in answers]
    assert nonces[0]
    assert nonces[1]
    assert nonces[0][1] != nonces[1][1]
    assert f'nonce="{nonces[0][1]}"' in answers[0].body


@pytest.mark.parametrize("path", ["/", "/api/docs/", "/admin/login/"])
def test_pages_have_no_script_of_their_own_inside(browser: Browser, path: str) -> None:
    page = browser.get(path).body
    inline = [
        tag for tag in re.findall(r"<script([^>]*)>", page) if "src=" not in tag and "application/json" not in tag
    ]
    assert inline == []
    assert not re.search(r"\son[a-z]+=|javascript:|<[^>]+\sstyle=", page)


def test_cookies_are_for_https_and_this_site_only(stack: Stack, browser: Browser) -> None:
    add_user(stack, "cookie-admin")
    assert browser.log_in("cookie-admin", PASSWORD).status == 302
    fresh = Browser(stack.gateway.port)
    page = fresh.get("/admin/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.body)
    assert token
    fields = {"username": "cookie-admin", "password": PASSWORD, "csrfmiddlewaretoken": token[1]}
    session = fresh.post_form("/admin/login/", fields).cookies["sessionid"]
    assert {"secure", "httponly", "samesite=lax"} <= set(session.replace(" ", "").split(";"))
    assert {"secure", "samesite=lax"} <= set(page.cookies["csrftoken"].replace(" ", "").split(";"))


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/admin/login/", {"username": "x", "password": "y"}),
        ("/admin/realtime/gateway/disconnect/", {"user_id": "x"}),
        ("/i18n/setlang/", {"language": "en"}),
        ("/api/v1/notifications/send/all/", {"title": "x", "body": "y"}),
    ],
)
def test_a_form_from_elsewhere_is_refused(stack: Stack, path: str, fields: dict[str, str]) -> None:
    add_user(stack, "csrf-admin")
    browser = Browser(stack.gateway.port)
    assert browser.log_in("csrf-admin", PASSWORD).status == 302
    forged = browser.post_form(path, fields, Origin="https://evil.example", Referer="https://evil.example/")
    assert forged.status == 403
    body = json.dumps(fields)
    assert browser.post_json(path, body, Origin="https://evil.example").status in (403, 415)


def test_an_unknown_host_is_refused(browser: Browser) -> None:
    for host in ("evil.example", "127.0.0.1:8080@evil", ""):
        assert browser.get("/", Host=host).status == 400


# HTTPS

PRODUCTION = {
    "ALLOWED_HOSTS": "realtime.example.com",
    "HTTPS_ONLY": "1",
    "TRUST_PROXY": "127.0.0.1",
    "DATABASE_URL": "sqlite://:memory:",
    "SECRET_KEY": "check-deploy-secret-0123456789-ABCDEFGHIJ-klmnopqrst-uvwxyz",
}


def test_the_deployment_check_is_clean_with_production_settings() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "INFO"],
        cwd=ROOT,
        env={**passing_environment(), **production_environment(**PRODUCTION)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_with_https_only_plain_http_is_sent_away_and_remembered(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack({"HTTPS_ONLY": "1", "TRUST_PROXY": "127.0.0.1"})
    browser = Browser(stack.gateway.port)
    plain = browser.get("/api/docs/")
    assert (plain.status, plain.headers["Location"][:8]) == (301, "https://")
    secure = browser.get("/api/docs/", X_Forwarded_Proto="https")
    assert secure.status == 200
    assert secure.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert browser.get("/healthz").status == 200


# Proxies


async def address_seen(stack: Stack, gateway: Gateway, forwarded: str) -> str:
    """Return what the staff API says the address of a WebSocket is that came with this header."""
    user = f"proxied-{gateway.port}"
    async with Client(gateway.ws(user), additional_headers={"X-Forwarded-For": forwarded}):
        staff = {"Authorization": f"Bearer {make_token('boss', is_staff=True)}"}
        [row] = Browser(gateway.port).get(f"/api/v1/realtime/connections/?user_id={user}", **staff).json()
    return str(row["address"]).rpartition(":")[0]


async def test_only_a_configured_proxy_may_name_the_client(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack({"TRUST_PROXY": ""})
    other = stack.add_gateway(TRUST_PROXY="127.0.0.1")
    third = stack.add_gateway(TRUST_PROXY="192.0.2.99")
    for gateway in (other, third):
        gateway.wait_until_ready()
    assert await address_seen(stack, stack.gateway, "203.0.113.5") == "127.0.0.1"
    assert await address_seen(stack, other, "1.1.1.1, 203.0.113.5") == "203.0.113.5"
    assert await address_seen(stack, third, "203.0.113.5") == "127.0.0.1"


def failed_logins(gateway: Gateway, tries: int, forwarded: Callable[[int], str]) -> list[int]:
    browser = Browser(gateway.port)
    body = {"username": "nobody", "password": "wrong"}
    return [browser.post_json("/api/v1/auth/token/", body, X_Forwarded_For=forwarded(n)).status for n in range(tries)]


def test_a_made_up_address_does_not_get_around_the_throttle(start_stack: Callable[..., Stack]) -> None:
    env: dict[str, Any] = {"LOGIN_RATE": "6/day", "LOCKOUT_FAILURES": "1000"}
    stack = start_stack(env, gateways=2)
    spread = failed_logins(stack.gateways[0], 4, lambda n: f"203.0.113.{n}")
    spread += failed_logins(stack.gateways[1], 4, lambda n: f"203.0.113.{n}")
    assert spread == [401] * 6 + [429] * 2  # one count for both processes
    proxied = stack.add_gateway(TRUST_PROXY="127.0.0.1")
    proxied.wait_until_ready()
    assert failed_logins(proxied, 8, lambda n: f"203.0.113.{n}") == [401] * 8
    assert failed_logins(proxied, 8, lambda n: f"{n}.1.1.1, 198.51.100.7") == [401] * 6 + [429] * 2
