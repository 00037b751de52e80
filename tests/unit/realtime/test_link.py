"""The one connection to Redis: pipelined, in order, and back by itself whatever cuts it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from realtime.codes import RedisReplyError, Unavailable
from realtime.link import RedisLink
from tests.unit.realtime.conftest import eventually


class Owner:
    """Remembers what the link told."""

    def __init__(self) -> None:
        self.ups = 0
        self.downs = 0
        self.pushes: list[tuple[bytes, bytes, bytes | None]] = []
        self.subscribe: list[bytes] = []

    async def link_up(self, link: RedisLink) -> None:
        self.ups += 1
        for channel in self.subscribe:
            link.subscribe(channel, lambda _: None)

    def link_down(self, link: RedisLink) -> None:
        self.downs += 1

    def link_push(self, link: RedisLink, channel: bytes, data: bytes, pattern: bytes | None) -> None:
        self.pushes.append((channel, data, pattern))


@pytest.fixture
async def connect() -> AsyncIterator[Any]:
    links: list[RedisLink] = []

    async def make(url: str, owner: Owner | None = None, **options: Any) -> RedisLink:
        link = RedisLink({"address": url}, owner or Owner(), **options)
        links.append(link)
        link.start()
        await asyncio.wait_for(link.connected.wait(), 10)
        return link

    yield make
    for link in links:
        await link.close()


async def test_replies_come_in_the_order_of_the_commands(valkey, connect):
    link = await connect(valkey.url)
    assert await asyncio.gather(*[link.call("ECHO", f"{n}") for n in range(1000)]) == [b"%d" % n for n in range(1000)]
    assert link.backlog == 0


async def test_an_error_of_redis_is_the_answer_to_its_command_alone(valkey, connect):
    link = await connect(valkey.url)
    wrong, right = link.call("NOSUCHCOMMAND"), link.call("PING")
    with pytest.raises(RedisReplyError):
        await wrong
    assert await right == b"PONG"


async def test_what_was_published_before_a_reply_arrives_before_it(valkey, connect):
    owner = Owner()
    link, other = await connect(valkey.url, owner), await connect(valkey.url)
    link.subscribe(b"news", lambda _: None)
    await link.call("PING")
    for n in range(100):
        await other.call("PUBLISH", "news", f"{n}")
        await link.call("PING")
        assert len(owner.pushes) == n + 1


async def test_subscriptions_are_confirmed_and_end(valkey, connect):
    owner = Owner()
    link = await connect(valkey.url, owner)
    confirmed: list[Any] = []
    link.subscribe(b"a", confirmed.append)
    link.subscribe(b"w*", confirmed.append, pattern=True)
    link.unsubscribe(b"never-there")
    await eventually(lambda: confirmed == [None, None])
    assert await link.call("PUBLISH", "a", "1") == 1
    assert await link.call("PUBLISH", "world", "2") == 1
    await eventually(lambda: owner.pushes == [(b"a", b"1", None), (b"world", b"2", b"w*")])
    link.unsubscribe(b"a")
    assert await link.call("PUBLISH", "a", "3") == 0


async def test_a_cut_connection_fails_what_was_on_its_way_and_comes_back(valkey, connect):
    owner = Owner()
    link = await connect(valkey.url, owner)
    assert link._writer is not None
    link._writer.transport.abort()
    pending = link.call("PING")
    with pytest.raises(Unavailable):
        await pending
    await eventually(lambda: owner.downs == 1)
    with pytest.raises(Unavailable):
        await link.call("PING")
    await eventually(lambda: owner.ups == 2 and link.connected.is_set())
    assert await link.call("PING") == b"PONG"


async def test_a_subscription_made_while_the_connection_is_down_says_so(own_valkey, connect):
    link = await connect(own_valkey.url)
    own_valkey.stop()
    await eventually(lambda: not link.connected.is_set())
    answers: list[Any] = []
    link.subscribe(b"a", answers.append)
    link.execute(answers.append, "PING")
    assert [type(answer) for answer in answers] == [Unavailable, Unavailable]


async def test_a_callback_that_raises_takes_no_other_down_with_it(own_valkey, connect):
    owner = Owner()
    link = await connect(own_valkey.url, owner)
    own_valkey.freeze()
    link.execute(lambda _: 1 / 0, "PING")
    behind = link.call("PING")
    own_valkey.kill()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(behind, 10)
    await eventually(lambda: owner.downs == 1)
    own_valkey.start()
    await eventually(lambda: owner.ups == 2)
    assert await link.call("PING") == b"PONG"


async def test_a_restart_is_seen_as_another_run(own_valkey, connect):
    owner = Owner()
    link = await connect(own_valkey.url, owner)
    first = link.run_id
    own_valkey.stop()
    await eventually(lambda: owner.downs == 1)
    own_valkey.start()
    await eventually(lambda: owner.ups == 2 and link.connected.is_set())
    assert first
    assert link.run_id not in ("", first)


async def test_an_idle_connection_is_kept_alive_past_its_timeouts(valkey, connect):
    owner = Owner()
    link = await connect(valkey.url, owner, timeout=0.3)
    await asyncio.sleep(2.5)
    assert (owner.downs, await link.call("PING")) == (0, b"PONG")


async def test_a_port_where_nobody_answers_is_tried_for_ever_and_closing_is_quick(connect):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        owner = Owner()
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        link = RedisLink({"address": url}, owner, connect_timeout=0.2)
        link.start()
        await eventually(lambda: link._failures > 1)
        assert (link.connected.is_set(), owner.ups) == (False, 0)
        await asyncio.wait_for(link.close(), 5)


async def test_a_password_and_a_database_in_the_url_are_used(own_valkey, connect):
    plain = await connect(own_valkey.url)
    await plain.call("CONFIG", "SET", "requirepass", "geheim")
    parts = urlsplit(own_valkey.url)
    link = await connect(f"redis://:geheim@{parts.netloc}/3")
    await link.call("SET", "k", "v")
    assert b"db=3" in await link.call("CLIENT", "INFO")


async def test_large_replies_and_commands_pass(valkey, connect):
    link = await connect(valkey.url)
    value = b"x" * 5_000_000
    await link.call("SET", "big", value)
    assert await link.call("GET", "big") == value
