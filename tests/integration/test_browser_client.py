"""The browser client's own tests and types, and the client against the real gateway."""

from __future__ import annotations

import re
import signal
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from ginforge.embedded import free_port
from tests.integration.node import NodeClient, Tabs, chromium, install_packages, run
from tests.integration.programs import wait_until
from tests.integration.stack import Stack, make_token


@pytest.fixture(scope="module", autouse=True)
def packages() -> None:
    """Have the packages installed."""
    install_packages()


@pytest.mark.slow
def test_the_client_passes_its_tests_under_node() -> None:
    done = run("npm", "test", "--silent", "--", "--test-reporter=tap")
    assert done.returncode == 0, done.stdout + done.stderr
    for reason in sorted(set(re.findall(r"# SKIP (.+)", done.stdout))):
        warnings.warn(f"tests of the browser client were skipped: {reason}", stacklevel=1)


def test_an_example_that_uses_all_of_it_compiles_with_strict_types() -> None:
    done = run("npm", "run", "types", "--silent")
    assert done.returncode == 0, done.stdout + done.stderr


def settled(client: NodeClient) -> bool:
    return client.state == "open"


def publish(stack: Stack, numbers: range, user: str, room: str) -> None:
    """Publish each number to everybody, to a user and to a room, as another service would."""
    for number in numbers:
        stack.publish("websocket:broadcast", {"type": "broadcast", "content": {"to": user, "number": number}})
        stack.publish(f"websocket:user:{user}", {"type": "data_update", "content": {"number": number}})
        stack.publish(f"websocket:room:{room}", {"type": "room_message", "content": {"number": number}})


def received(client: NodeClient, type_: str) -> list[int]:
    return [content["number"] for content in client.contents(type_) if "number" in content]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_restart_of_the_gateway_loses_doubles_and_reorders_nothing(own_stack: Stack, how: int) -> None:
    stack, room = own_stack, "chat:room001"
    with NodeClient(stack.ws_url, make_token("alice"), rooms=[room]) as client:
        wait_until(lambda: client.of("joined"), "the room to be joined")
        publish(stack, range(10), "alice", room)
        wait_until(lambda: len(received(client, "room_message")) == 10, "the first ten")
        stack.gateway.signal(how)
        wait_until(lambda: client.of("down"), "the loss of the link")
        stack.gateway.wait()
        publish(stack, range(10, 20), "alice", room)
        stack.gateway.start()
        stack.gateway.wait_until_ready()
        wait_until(lambda: settled(client), "the client to be back")
        publish(stack, range(20, 30), "alice", room)
        for kind in ("broadcast", "data_update", "room_message"):
            wait_until(lambda kind=kind: len(received(client, kind)) >= 30, f"all of {kind}: {client.of('gap')}")
        for kind in ("broadcast", "data_update", "room_message"):
            assert received(client, kind) == list(range(30))
        assert client.of("gap") == []
        if how == signal.SIGTERM:
            first = client.of("down")[0]
            assert first["code"] == 1012
            assert first["delay"] >= int(first["reason"].rpartition("=")[2])


def test_a_new_token_is_taken_on_the_live_connection(stack: Stack) -> None:
    expiry = time.time() + 3
    tokens = make_token("refresher", ttl=3), make_token("refresher", ttl=600)
    with NodeClient(stack.ws_url, *tokens) as client:
        wait_until(lambda: time.time() > expiry + 2.5, "the first token to be long expired")
        stack.publish("websocket:user:refresher", {"type": "system", "content": "still here"})
        wait_until(lambda: "still here" in client.contents("system"), "a message after the expiry")
        assert client.of("down") == []


def test_a_refused_token_ends_it_with_the_reason(stack: Stack) -> None:
    with NodeClient(stack.ws_url, make_token("mallory", key="another-signing-key-0123456789-abcdefgh")) as client:
        wait_until(lambda: client.state == "closed", "the client to stop")
        (down,) = client.of("down")
        assert (down["code"], down["retry"]) == (4401, False)
        assert client.contents("error")[0]["code"] == 401


def test_requests_are_answered_by_the_real_gateway(stack: Stack) -> None:
    chat: dict[str, Any] = {"type": "chat", "to": "requester", "content": {"text": "to myself"}}
    requests = [{"type": "ping"}, chat, {"type": "room_message", "room": "not-mine", "content": 1}]
    with NodeClient(stack.ws_url, make_token("requester"), requests=requests, rooms=["admin:secret"]) as client:
        wait_until(
            lambda: len(client.of("answer")) == 2 and client.of("failed") and client.of("refused"), "all answers"
        )
        assert client.of("failed")[0]["code"] == 403
        assert client.of("refused")[0] == {"event": "refused", "room": "admin:secret", "code": 403}
        wait_until(lambda: chat["content"] in client.contents("chat"), "one's own chat")


def test_what_came_for_a_user_who_was_away_is_shown_once(stack: Stack) -> None:
    stack.publish(
        "websocket:notification:sleeper", {"content": {"title": "while you slept", "body": "1"}, "type": "notification"}
    )
    for attempt in (1, 2):
        with NodeClient(stack.ws_url, make_token("sleeper"), name=f"sleeper-{attempt}") as client:
            wait_until(lambda client=client: settled(client), "the client to be open")
            if attempt == 1:
                wait_until(lambda client=client: client.contents("notification"), "the stored notification")
            stack.publish("websocket:user:sleeper", {"type": "system", "content": "end"})
            wait_until(lambda client=client: "end" in client.contents("system"), "the end")
            assert [content["body"] for content in client.contents("notification")] == (["1"] if attempt == 1 else [])


KINDS = ("broadcast", "data_update", "room_message")


def test_tabs_that_share_a_connection_miss_nothing_when_the_leading_tab_or_the_gateway_goes(
    start_stack: Callable[..., Stack],
) -> None:
    if chromium() is None:
        pytest.skip("no Chromium on this machine (set CHROMIUM to its path)")
    port, room = free_port(), "chat:tabs"
    stack = start_stack({"ALLOWED_ORIGINS": f"http://127.0.0.1:{port}"})

    def all_saw(tabs: Tabs, which: tuple[int, ...], count: int) -> bool:
        return all(len(tabs.numbers(tab, kind)) >= count for tab in which for kind in KINDS)

    with Tabs(stack.ws_url, make_token("alice"), room=room, tabs=3, port=port) as tabs:
        wait_until(lambda: len(tabs.of("joined")) == 3, "three tabs in the room")
        assert len({told["client"] for told in tabs.of("welcome")}) == 1, "one connection"
        publish(stack, range(5), "alice", room)
        wait_until(lambda: all_saw(tabs, (0, 1, 2), 5), "five messages of each kind in each tab")
        tabs.close_first()
        publish(stack, range(5, 10), "alice", room)
        wait_until(lambda: all_saw(tabs, (1, 2), 10), "ten of each, with a new leading tab")
        stack.gateway.kill()
        publish(stack, range(10, 15), "alice", room)
        stack.gateway.start()
        stack.gateway.wait_until_ready()
        wait_until(lambda: all_saw(tabs, (1, 2), 15), "fifteen of each, after a restart of the gateway")
        for tab in (1, 2):
            for kind in KINDS:
                assert tabs.numbers(tab, kind) == list(range(15))
        assert tabs.of("gap") == []


def test_history_lost_with_redis_is_told_as_a_gap_and_the_link_goes_on(own_stack: Stack) -> None:
    stack, room = own_stack, "chat:wiped"
    with NodeClient(stack.ws_url, make_token("alice"), rooms=[room]) as client:
        wait_until(lambda: client.of("joined"), "the room to be joined")
        publish(stack, range(3), "alice", room)
        wait_until(lambda: all(len(received(client, kind)) == 3 for kind in KINDS), "the first three")
        stack.valkey.kill()
        stack.valkey.start()
        wait_until(lambda: len({gap["stream"] for gap in client.of("gap")}) == 3, "three streams to be told as lost")
        stack.gateway.wait_until_ready()
        publish(stack, range(3, 6), "alice", room)
        wait_until(lambda: all(len(received(client, kind)) == 6 for kind in KINDS), "what came after")
        assert client.of("down") == []
