"""Every page: no errors, no serious accessibility issue, nothing wider than a phone; with a picture of each to look at.

``SCREENSHOTS`` names the folder for the pictures; without it they go to pytest's temporary one.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.browser import Page
from tests.e2e.people import admin_log_in, console, join
from tests.integration.stack import Stack

LOOKS = {
    "light": {"colorScheme": "light", "viewport": {"width": 1280, "height": 900}},
    "dark": {"colorScheme": "dark", "viewport": {"width": 1280, "height": 900}},
    "phone": {"colorScheme": "light", "viewport": {"width": 390, "height": 844}},
    "chinese": {"locale": "zh-CN", "viewport": {"width": 1280, "height": 900}},
}
ADMIN = {
    "overview": "/admin/realtime/gateway/",
    "connections": "/admin/realtime/gateway/connections/",
    "rooms": "/admin/realtime/gateway/rooms/",
    "publish": "/admin/realtime/gateway/publish/",
    "trace": "/admin/realtime/gateway/trace/",
    "settings": "/admin/realtime/gateway/settings/",
    "dead-letters": "/admin/realtime/deadletterbox/",
    "stored-messages": "/admin/notifications/storedmessage/",
}


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def look_at(page: Page, name: str, album: Path, look: str) -> None:
    page.wait("document.readyState === 'complete'")
    page.screenshot(album / f"{name}-{look}.png")
    if name != "stored-messages":  # a list that Django itself draws
        assert page.serious_axe_issues() == [], name
    assert page.problems() == [], name
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, f"{name} is wider than the screen"
    if look == "chinese":
        assert page.evaluate("document.documentElement.lang") == "zh-hans"


@pytest.mark.parametrize("look", LOOKS)
def test_the_console_and_the_protocol_page(site: Stack, open_page: Callable[..., Page], album: Path, look: str) -> None:
    page = open_page(site, **LOOKS[look])
    page.goto("/")
    look_at(page, "welcome", album, look)
    console(page, "dev")
    join(page, "chat:room001")
    page.click(".column .frames summary")
    for tab in ("publish", "pad", "upload", "send"):
        page.click(f"#tab-{tab}")
        look_at(page, f"console-{tab}", album, look)
    page.goto("/api/protocol/")
    look_at(page, "protocol", album, look)


@pytest.mark.parametrize("look", LOOKS)
def test_the_admin(site: Stack, open_page: Callable[..., Page], album: Path, look: str) -> None:
    page = open_page(site, **LOOKS[look])
    admin_log_in(page)
    for name, path in ADMIN.items():
        page.goto(path)
        if name == "overview":
            page.wait("document.getElementById('chart-errors').dataset.points === '180'")
        look_at(page, name, album, look)
