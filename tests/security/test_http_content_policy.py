"""The content policy in a real browser: our own pages work under it, and what was put into one does not run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.e2e.browser import Page
from tests.e2e.conftest import browser, open_page, site
from tests.e2e.people import admin_log_in
from tests.integration.stack import Stack

__all__ = ["browser", "open_page", "site"]

Open = Callable[..., Page]


def test_swagger_shows_the_api_and_tries_it_out(site: Stack, open_page: Open) -> None:
    page = open_page(site)
    page.goto("/api/docs/")
    page.wait("document.querySelectorAll('.opblock').length > 15")
    page.click("#operations-presence-ws_stats .opblock-summary-control")
    page.click("#operations-presence-ws_stats .try-out__btn")
    page.click("#operations-presence-ws_stats .execute")
    page.wait("document.querySelector('#operations-presence-ws_stats .live-responses-table').innerText.includes('200')")
    assert page.problems() == []


@pytest.mark.parametrize(
    "path",
    ["/", "/admin/", "/admin/auth/user/", "/admin/auth/user/add/", "/admin/auth/group/add/",
     "/admin/realtime/auditevent/", "/admin/realtime/gateway/", "/admin/notifications/storedmessage/"],
)  # fmt: skip
def test_our_pages_keep_to_the_policy(site: Stack, open_page: Open, path: str) -> None:
    page = open_page(site)
    admin_log_in(page)
    page.goto(path)
    page.wait("document.readyState === 'complete'")
    assert page.problems() == []


@pytest.mark.parametrize("path", ["/", "/api/docs/", "/admin/login/"])
@pytest.mark.parametrize(
    "attack",
    [
        "const s = document.createElement('script'); s.textContent = 'window.owned = 1'; document.body.append(s)",
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.owned = 1\">')",
        (
            "const s = document.createElement('script'); s.src = 'data:text/javascript,window.owned=1';"
            " document.body.append(s)"
        ),
        (
            "document.body.insertAdjacentHTML('beforeend', '<form action=\"https://evil.example/\"><button>x</button></form>');"
            " document.querySelector('form[action^=https]').submit()"
        ),
        "const f = document.createElement('iframe'); f.src = 'data:text/html,x'; document.body.append(f)",
    ],
)
def test_what_was_put_into_a_page_does_not_run(site: Stack, open_page: Open, path: str, attack: str) -> None:
    page = open_page(site)
    page.goto(path)
    page.evaluate(f"(() => {{ {attack} }})()")
    page.wait("new Promise(done => setTimeout(() => done(true), 50))")
    assert page.evaluate("window.owned") is None
    page.wait(f"location.pathname === {path!r}")
    assert any("Content Security Policy" in problem for problem in page.problems())
