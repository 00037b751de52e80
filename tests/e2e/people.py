"""What people do on the pages, in the words of the tests."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.browser import Page
from tests.integration.stack import Stack

PASSWORD = "correct horse battery"


def create_users(stack: Stack) -> None:
    """Make ``dev`` (a superuser) and ``alice``."""
    code = (
        "from django.contrib.auth.models import User;"
        f"User.objects.create_superuser('dev', password={PASSWORD!r});"
        f"User.objects.create_user('alice', password={PASSWORD!r})"
    )
    stack.manage("shell", "--no-imports", "-c", code)


def log_in(page: Page, name: str) -> None:
    """Add a connection to the console and wait until it is live."""
    page.evaluate("document.getElementById('add').open = true")
    page.fill("#login [name=username]", name)
    page.fill("#login [name=password]", PASSWORD)
    page.click("#login button")
    page.wait(f"[...document.querySelectorAll('.column')].some(c => c.querySelector('.user').textContent === '{name}'"
              " && c.querySelector('.pill').dataset.state === 'open')")  # fmt: skip


def console(page: Page, name: str) -> None:
    """Open the console and log in."""
    page.goto("/")
    log_in(page, name)


def join(page: Page, room: str) -> None:
    """Join a room with the first connection of the console."""
    page.fill(".column .join input", room)
    page.click(".column .join button")
    page.wait(f"[...document.querySelectorAll('.column .rooms button')].some(b => b.textContent === '{room}')")


def messages(page: Page, type_: str) -> list[dict[str, Any]]:
    """Messages of one type in the first column that came in, oldest first."""
    found = page.evaluate(
        "[...document.querySelectorAll('.column .frames li[data-way=in]')].map(li => li.message)"
        f".filter(m => m.type === {json.dumps(type_)}).reverse()"
    )
    return list(found)


def contents(page: Page, type_: str) -> list[Any]:
    """Their contents."""
    return [message["content"] for message in messages(page, type_)]


def admin_log_in(page: Page) -> None:
    """Log in to the admin as ``dev``."""
    page.goto("/admin/login/")
    page.fill("#id_username", "dev")
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    page.wait("location.pathname !== '/admin/login/'")
