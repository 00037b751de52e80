"""The console in a real browser, against real processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from tests.e2e.browser import Page
from tests.e2e.people import console, contents, create_users, join, log_in, messages
from tests.integration.programs import wait_until
from tests.integration.stack import Stack

Open = Callable[..., Page]
FLOOD = 3000


def numbers(page: Page) -> list[int]:
    return [content["n"] for content in contents(page, "broadcast")]


def publish_numbers(stack: Stack, count: range) -> None:
    for number in count:
        stack.publish("websocket:broadcast", {"type": "broadcast", "content": {"n": number}})


def test_what_another_program_publishes_in_redis_arrives_in_two_browsers(site: Stack, open_page: Open) -> None:
    pages = [open_page(site), open_page(site)]
    for page, name in zip(pages, ("dev", "alice"), strict=True):
        console(page, name)
    content = {"entity": "user", "action": "create"}
    site.publish("websocket:broadcast", {"type": "data_update", "content": content})
    for page in pages:
        wait_until(lambda page=page: content in contents(page, "data_update"), "the message")
        assert page.problems() == []


def test_several_people_are_connected_side_by_side_and_survive_a_reload(site: Stack, open_page: Open) -> None:
    page = open_page(site)
    console(page, "dev")
    log_in(page, "alice")
    page.goto("/")
    page.wait("document.querySelectorAll('.column .pill[data-state=open]').length === 2")
    assert page.evaluate("[...document.querySelectorAll('.column .user')].map(e => e.textContent)") == ["dev", "alice"]
    page.click(".column .leave")
    page.wait("document.querySelectorAll('.column').length === 1")


def test_a_wrong_password_is_told(site: Stack, open_page: Open) -> None:
    page = open_page(site)
    page.goto("/")
    page.fill("#login [name=username]", "nobody")
    page.fill("#login [name=password]", "wrong")
    page.click("#login button")
    page.wait("document.querySelector('#login .problem').textContent !== ''")


def test_members_of_a_room_read_what_one_of_them_sends(site: Stack, open_page: Open) -> None:
    dev, alice = open_page(site), open_page(site)
    for page, name in ((dev, "dev"), (alice, "alice")):
        console(page, name)
        join(page, "chat:e2e")
    dev.select("#send [name=type]", "room_message")
    dev.fill("#send [name=room]", "chat:e2e")
    dev.fill("#send [name=content]", "good morning")
    dev.click("#send button.primary")
    for page in (dev, alice):
        wait_until(lambda page=page: contents(page, "room_message") == ["good morning"], "the message")
    assert messages(alice, "room_message")[0]["from_name"] == "dev"


def test_every_type_a_client_may_send_has_an_example_that_is_answered(site: Stack, open_page: Open) -> None:
    page = open_page(site)
    console(page, "dev")
    for kind in ("join_room", "room_message", "chat", "ping", "resume", "leave_room"):
        page.select("#send [name=type]", kind)
        page.click("#send button.primary")
    answers = {"ack", "room_message", "chat", "pong", "resumed"}
    wait_until(lambda: answers <= {kind for kind in answers if messages(page, kind)}, "an answer to each example")
    assert contents(page, "error") == []
    assert page.text("#send .problem") == ""


def test_staff_publish_as_a_service_does_and_others_are_told_why_not(site: Stack, open_page: Open) -> None:
    page = open_page(site)
    console(page, "dev")
    page.click("#tab-publish")
    page.fill("#publish [name=message]", json.dumps({"type": "system", "content": "from the form"}))
    page.click("#publish button.primary")
    wait_until(lambda: "from the form" in contents(page, "system"), "the message")
    other = open_page(site)
    console(other, "alice")
    other.click("#tab-publish")
    other.click("#publish button.primary")
    other.wait("document.querySelector('#publish .problem').textContent !== ''")


def test_each_action_is_shown_as_code_in_four_languages(site: Stack, open_page: Open) -> None:
    page = open_page(site)
    console(page, "dev")
    page.click("#send .code summary")
    shown = {}
    for language in ("JavaScript", "Python", "Go", "redis-cli"):
        page.select("#send .code select", language)
        shown[language] = page.text("#send .code pre")
    assert "client.sendToRoom" in shown["JavaScript"]
    assert "websockets.connect" in shown["Python"]
    assert "websocket.Dial" in shown["Go"]
    assert "redis-cli PUBLISH 'websocket:room:" in shown["redis-cli"]
    compile(shown["Python"], "snippet", "exec")


def test_two_people_write_one_note_pad(site: Stack, open_page: Open) -> None:
    dev, alice = open_page(site), open_page(site)
    for page, name in ((dev, "dev"), (alice, "alice")):
        console(page, name)
        page.click("#tab-pad")
    dev.click("#pad button")
    dev.fill("#pad textarea", "bread, milk")
    wait_until(lambda: contents(dev, "room_message"), "the first text to be sent")
    alice.click("#pad button")
    alice.wait("document.querySelector('#pad textarea').value === 'bread, milk'")
    alice.fill("#pad textarea", "bread, milk, honey")
    dev.wait("document.querySelector('#pad textarea').value === 'bread, milk, honey'")


def test_an_upload_moves_by_the_notifications_that_arrive(site: Stack, open_page: Open) -> None:
    page = open_page(site)
    console(page, "dev")
    page.click("#tab-upload")
    page.click("#upload button.primary")
    page.wait("document.querySelector('#upload progress').value === 100")


def test_a_restart_of_the_gateway_misses_nothing(start_stack: Callable[..., Stack], open_page: Open) -> None:
    stack = start_stack()
    create_users(stack)
    page = open_page(stack)
    console(page, "dev")
    publish_numbers(stack, range(10))
    wait_until(lambda: numbers(page) == list(range(10)), "the first ten")
    stack.gateway.kill()
    publish_numbers(stack, range(10, 20))
    stack.gateway.start()
    stack.gateway.wait_until_ready()
    wait_until(lambda: len(numbers(page)) >= 20, "what was published meanwhile")
    publish_numbers(stack, range(20, 25))
    wait_until(lambda: len(numbers(page)) >= 25, "what came after")
    assert numbers(page) == list(range(25))


def test_a_page_without_network_says_so_and_catches_up(site: Stack, open_page: Open) -> None:
    page = open_page(site)
    console(page, "alice")
    page.offline()
    page.wait("document.querySelector('.column .pill').dataset.state === 'offline'")
    publish_numbers(site, range(5))
    page.offline(False)
    page.wait("document.querySelector('.column .pill').dataset.state === 'open'")
    wait_until(lambda: numbers(page) == list(range(5)), "what was published meanwhile")


def test_a_thousand_messages_a_second_do_not_freeze_the_page(site: Stack, open_page: Open) -> None:
    page = open_page(site)
    console(page, "dev")
    page.evaluate(
        "window.longest = 0; let last = performance.now();"
        "setInterval(() => { const now = performance.now(); longest = Math.max(longest, now - last); last = now; }, 20)"
    )
    with site.redis() as redis:
        started = time.monotonic()
        for batch in range(FLOOD // 100):
            with redis.pipeline(transaction=False) as pipe:
                for number in range(100):
                    content = {"n": batch * 100 + number}
                    pipe.publish("websocket:broadcast", json.dumps({"type": "broadcast", "content": content}))
                pipe.execute()
            time.sleep(max(0.0, started + (batch + 1) / 10 - time.monotonic()))  # a thousand a second, not all at once
    page.wait(f"Number(document.querySelector('.column .count').textContent.replaceAll(/\\D/g, '')) >= {FLOOD}")
    page.fill("#filter", f'"n":{FLOOD - 1}')
    assert page.evaluate("document.querySelectorAll('.column .frames li:not([hidden])').length") == 1
    assert page.evaluate("document.querySelectorAll('.column .frames li').length") <= 300
    assert page.evaluate("longest") < 1500, "milliseconds in which the page did nothing else"
