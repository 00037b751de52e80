"""The admin's pages of the gateway in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.e2e.browser import Page
from tests.e2e.people import admin_log_in, console, contents, join
from tests.integration.programs import wait_until
from tests.integration.stack import Stack

Open = Callable[..., Page]
GATEWAY = "/admin/realtime/gateway/"


def shows(page: Page, path: str, text: str) -> bool:
    """Load a page and look for a text."""
    page.goto(path)
    return text in page.text("#content")


@pytest.fixture
def admin(site: Stack, open_page: Open) -> Page:
    page = open_page(site)
    admin_log_in(page)
    return page


def test_the_overview_draws_its_charts_and_is_told_of_changes(site: Stack, open_page: Open, admin: Page) -> None:
    someone = open_page(site)
    console(someone, "alice")
    admin.goto(GATEWAY)
    admin.wait("document.getElementById('live').textContent.startsWith('●')")
    for chart in ("connections", "messages", "latency", "errors"):
        admin.wait(f"document.getElementById('chart-{chart}').dataset.points === '180'")
    admin.evaluate("window.before = document.getElementById('chart-connections').getAttribute('aria-label')")
    admin.wait("Number(document.querySelector('[data-tile=total_clients]').textContent) >= 2")
    admin.wait("/ [1-9]/.test(document.getElementById('chart-connections').getAttribute('aria-label'))")
    admin.select("#period", "24h")
    admin.wait("document.getElementById('chart-messages').dataset.points === '144'")
    assert admin.problems() == []


def test_a_connection_is_found_looked_at_and_cut(site: Stack, open_page: Open, admin: Page) -> None:
    victim = open_page(site)
    console(victim, "alice")
    join(victim, "chat:victims")
    admin.goto(f"{GATEWAY}connections/?room=chat%3Avictims")
    admin.click("#content tbody tr td a")
    assert "chat:victims" in admin.text("#content")
    admin.click("#content .gateway-actions button")
    admin.wait("document.querySelector('.messagelist') !== null")
    victim.wait("document.querySelector('.column .pill').dataset.state === 'closed'")
    assert "4403" in victim.text(".column .frames")


def test_a_message_is_previewed_then_published(site: Stack, open_page: Open, admin: Page) -> None:
    reader = open_page(site)
    console(reader, "alice")
    admin.goto(f"{GATEWAY}publish/")
    admin.select("#publish [name=kind]", "broadcast")
    admin.fill("#publish [name=message]", json.dumps({"type": "system", "content": "from the admin"}))
    admin.click("button[name=preview]")
    assert "PUBLISH websocket:broadcast" in admin.text("pre")
    assert contents(reader, "system") == []
    admin.click("button[name=send]")
    wait_until(lambda: contents(reader, "system") == ["from the admin"], "the message")
    assert "Published" in admin.text(".messagelist")
    wait_until(lambda: shows(admin, "/admin/realtime/auditevent/", "websocket:broadcast"), "the audit")


def test_a_message_without_a_recipient_is_refused_in_words(admin: Page) -> None:
    admin.goto(f"{GATEWAY}publish/")
    admin.fill("#publish [name=message]", "[1]")
    admin.evaluate("document.getElementById('publish').noValidate = true")
    admin.click("button[name=send]")
    assert admin.evaluate("document.querySelectorAll('.errorlist').length") == 2


@pytest.mark.parametrize("kind", ["user_id", "room"])
def test_a_trace_shows_messages_as_they_pass_and_ends(site: Stack, open_page: Open, admin: Page, kind: str) -> None:
    room = f"chat:traced-{kind}"
    watched = open_page(site)
    console(watched, "alice")
    join(watched, room)
    user_id = watched.text(".column .about").split(" ")[0]
    admin.goto(f"{GATEWAY}trace/?{kind}={user_id if kind == 'user_id' else room}")
    admin.click("#start")
    admin.wait("document.getElementById('trace-state').textContent.startsWith('●')")
    channel = f"websocket:user:{user_id}" if kind == "user_id" else f"websocket:room:{room}"
    site.publish(channel, {"type": "data_update", "content": {"entity": "traced", "action": kind}})
    admin.wait("document.getElementById('traced').textContent.includes('\"entity\":\"traced\"')")
    if kind == "user_id":
        watched.select("#send [name=type]", "chat")
        watched.fill("#send [name=content]", "said by alice")
        watched.click("#send button.primary")
        admin.wait("document.getElementById('traced').textContent.includes('said by alice')")
    admin.click("#stop")
    admin.wait("document.getElementById('stop').disabled")
    site.publish(channel, {"type": "system", "content": "too late"})
    wait_until(lambda: "too late" in contents(watched, "system"), "the message after the trace")
    assert "too late" not in admin.text("#traced")
    assert admin.problems() == []


def test_rooms_and_who_is_online_are_listed(site: Stack, open_page: Open, admin: Page) -> None:
    someone = open_page(site)
    console(someone, "alice")
    join(someone, "chat:listed")
    wait_until(lambda: shows(admin, f"{GATEWAY}rooms/", "chat:listed"), "the room")
    admin.goto(f"{GATEWAY}rooms/?room=chat%3Alisted")
    assert "alice" in admin.text("#content table")


def test_dead_letters_are_read_and_dropped(site: Stack, admin: Page) -> None:
    site.publish("websocket:broadcast", b"not json")
    letters = "/admin/realtime/deadletterbox/"
    wait_until(lambda: shows(admin, letters, "not json"), "the dead letter")
    admin.click("#content tbody a")
    admin.click("button.gateway-drop")
    admin.wait("document.querySelector('.messagelist') !== null")
    assert "not json" not in admin.text("#content")


def test_nobody_is_told_that_a_page_of_the_admin_is_open(site: Stack, open_page: Open, admin: Page) -> None:
    someone = open_page(site)
    console(someone, "alice")
    admin.goto(GATEWAY)
    admin.wait("document.getElementById('live').textContent.startsWith('●')")
    console(open_page(site), "dev")
    wait_until(lambda: any(c["user_name"] == "dev" for c in contents(someone, "user_status")), "the news about dev")
    assert [c["user_id"] for c in contents(someone, "user_status") if c["user_id"].startswith("admin-page:")] == []
