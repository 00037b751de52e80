"""Guessing passwords, in the admin and over the API: told to wait, on every process, and let in again by command."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.stack import Stack
from tests.security.pages import Answer, Browser

PASSWORD = "correct horse 1"
LIMIT = 3


@pytest.fixture
def two(start_stack: Callable[..., Stack]) -> Stack:
    return start_stack({"LOCKOUT_FAILURES": str(LIMIT), "LOGIN_RATE": "1000/min"}, gateways=2)


def add_user(stack: Stack, name: str) -> None:
    code = (
        f"from django.contrib.auth.models import User; User.objects.create_superuser({name!r}, password={PASSWORD!r})"
    )
    stack.manage("shell", "--no-imports", "-c", code)


def token(stack: Stack, password: str, *, gateway: int = 0, name: str = "ada") -> Answer:
    browser = Browser(stack.gateways[gateway].port)
    return browser.post_json("/api/v1/auth/token/", {"username": name, "password": password})


def test_who_guesses_is_locked_out_everywhere_until_unlocked(two: Stack) -> None:
    add_user(two, "ada")
    add_user(two, "eve")
    assert [token(two, "wrong", gateway=n % 2).status for n in range(LIMIT)][:-1] == [401] * (LIMIT - 1)
    for gateway in (0, 1):
        locked = token(two, PASSWORD, gateway=gateway)  # even the right one
        assert locked.status == 429
        assert "Try again in 15 minutes" in locked.json()["detail"]
        assert locked.headers["Retry-After"] == "900"
    page = Browser(two.gateways[1].port).log_in("ada", PASSWORD)
    assert page.status == 429
    assert "Try again in 15 minutes" in page.body
    assert PASSWORD not in page.body
    assert token(two, PASSWORD, name="eve").status == 200
    two.manage("axes_reset_username", "ada")
    assert token(two, PASSWORD).status == 200
    assert Browser(two.gateways[0].port).log_in("ada", PASSWORD).status == 302


def test_the_admin_counts_too_and_a_success_starts_over(two: Stack) -> None:
    add_user(two, "ada")
    admin = Browser(two.gateways[0].port)
    for _ in range(LIMIT - 1):
        assert "Please enter the correct" in admin.log_in("ada", "wrong").body
    assert admin.log_in("ada", PASSWORD).status == 302
    fresh = Browser(two.gateways[0].port)
    for _ in range(LIMIT - 1):
        assert fresh.log_in("ada", "wrong").status == 200
    assert fresh.log_in("ada", "wrong").status == 429


def test_a_login_over_the_api_starts_over_too(two: Stack) -> None:
    add_user(two, "ada")
    for _ in range(2):
        assert [token(two, "wrong").status for _ in range(LIMIT - 1)] == [401] * (LIMIT - 1)
        assert token(two, PASSWORD).status == 200


def test_everything_of_the_admin_is_behind_its_login(stack: Stack) -> None:
    for path in ("/admin/", "/admin/realtime/auditevent/", "/admin/auth/user/", "/admin/nothing/"):
        answer = Browser(stack.gateway.port).get(path)
        assert (answer.status, answer.headers["Location"].partition("?")[0]) == (302, "/admin/login/")
