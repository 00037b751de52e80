"""The channel layer against a real Valkey: offsets, history, idempotency, epochs, and Channels' own API."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import redis

from ginforge.embedded import EmbeddedValkey
from realtime import keys
from realtime.codes import Unavailable
from realtime.layer import EPHEMERAL, MESSAGE, History, Published, StreamLoopLayer
from realtime.link import resolve
from realtime.sequencer import Item, Position
from tests.unit.realtime.conftest import eventually

GROUP = "room.r"


class RecordingSink:
    """Takes what the layer hands over."""

    def __init__(self) -> None:
        self.items: list[tuple[str, Item]] = []
        self.ephemeral: list[tuple[str, bytes]] = []
        self.events: list[tuple[str, Any]] = []
        self.ups = 0
        self.downs = 0

    def on_item(self, group: str, item: Item) -> None:
        self.items.append((group, item))

    def on_ephemeral(self, group: str, text: bytes, sent_ms: int) -> None:
        self.ephemeral.append((group, text))

    def on_event(self, group: str, event: dict[str, Any]) -> None:
        self.events.append((group, event))

    def on_link_up(self, shard: int) -> None:
        self.ups += 1

    def on_link_down(self, shard: int) -> None:
        self.downs += 1

    @property
    def texts(self) -> list[bytes]:
        return [item.text for _, item in self.items]


def published(layer: StreamLoopLayer, text: bytes, *, group: str = GROUP, **options: Any) -> asyncio.Future[Published]:
    future: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
    layer.publish(group, text, lambda reply: resolve(future, reply), **options)
    return future


def read(layer: StreamLoopLayer, since: Position | None, *, group: str = GROUP) -> asyncio.Future[History]:
    future: asyncio.Future[History] = asyncio.get_running_loop().create_future()
    layer.read(group, since, lambda reply: resolve(future, reply))
    return future


async def joined(layer: StreamLoopLayer, *groups: str) -> RecordingSink:
    sink = RecordingSink()
    layer.attach(sink)
    await layer.ready()
    for group in groups or (GROUP,):
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        layer.join(group, lambda reply, future=future: resolve(future, reply))
        await future
    return sink


async def test_a_message_gets_an_offset_a_place_in_the_history_and_reaches_every_process(valkey, make_layer):
    one, other = make_layer(valkey).for_loop(), make_layer(valkey).for_loop()
    sinks = [await joined(one), await joined(other)]
    first, second = await asyncio.gather(published(one, b"a"), published(one, b"b"))
    assert (first.receivers, first.duplicate, first.position.offset, second.position.offset) == (2, False, 1, 2)
    assert first.position.epoch == second.position.epoch
    for sink in sinks:
        await eventually(lambda sink=sink: len(sink.items) == 2)
        assert [(item.offset, item.text) for _, item in sink.items] == [(1, b"a"), (2, b"b")]
    history = await read(other, Position(first.position.epoch, 0))
    assert (history.recovered, history.top) == (True, second.position)
    assert [item.text for item in history.missed] == [b"a", b"b"]


async def test_nobody_listening_is_told_by_the_number_of_receivers(valkey, make_layer):
    layer = make_layer(valkey).for_loop()
    await layer.ready()
    assert (await published(layer, b"a")).receivers == 0


async def test_the_same_id_is_delivered_once_and_answered_as_the_first_time(valkey, make_layer):
    layer = make_layer(valkey).for_loop()
    sink = await joined(layer)
    first = await published(layer, b"a", dedupe_id="i:1")
    again = await published(layer, b"a", dedupe_id="i:1")
    other = await published(layer, b"b", dedupe_id="i:2")
    assert (again.duplicate, again.position, again.receivers) == (True, first.position, 1)
    assert (other.duplicate, other.position.offset) == (False, 2)
    await eventually(lambda: len(sink.items) == 2)
    assert sink.texts == [b"a", b"b"]


async def test_the_same_id_on_another_stream_is_another_message(valkey, make_layer):
    layer = make_layer(valkey).for_loop()
    await layer.ready()
    await published(layer, b"a", dedupe_id="i:1")
    assert not (await published(layer, b"a", group="room.s", dedupe_id="i:1")).duplicate


async def test_an_id_may_be_used_again_after_the_window(valkey, make_layer, store):
    layer = make_layer(valkey).for_loop()
    await layer.ready()
    await published(layer, b"a", dedupe_id="i:1", window=1)
    await eventually(lambda: not store.exists(keys.stream_seen(GROUP, "i:1")))
    assert not (await published(layer, b"a", dedupe_id="i:1")).duplicate


async def test_two_processes_at_once_never_double_an_id_and_agree_on_the_order(valkey, make_layer):
    one, other = make_layer(valkey).for_loop(), make_layer(valkey).for_loop()
    sinks = [await joined(one), await joined(other)]
    await asyncio.gather(*[
        published(layer, b"%d" % n, dedupe_id=f"i:{n}") for n in range(300) for layer in (one, other)
    ])  # fmt: skip
    for sink in sinks:
        await eventually(lambda sink=sink: len(sink.items) >= 300)
        assert [item.offset for _, item in sink.items] == list(range(1, 301))
        assert sorted(int(text) for text in sink.texts) == list(range(300))
    assert sinks[0].texts == sinks[1].texts


async def test_the_history_is_capped_and_says_when_it_does_not_reach_back_far_enough(valkey, make_layer, store):
    layer = make_layer(valkey, history_size=20).for_loop()
    await layer.ready()
    done = await asyncio.gather(*[published(layer, b"%d" % n) for n in range(1000)])
    epoch = done[0].position.epoch
    assert store.xlen(keys.stream_log(GROUP)) < 200
    recent = await read(layer, Position(epoch, 995))
    assert (recent.recovered, [item.offset for item in recent.missed]) == (True, [996, 997, 998, 999, 1000])
    old = await read(layer, Position(epoch, 1))
    assert (old.recovered, old.missed, old.top.offset) == (False, [], 1000)


async def test_large_messages_shorten_the_history(valkey, make_layer, store):
    layer = make_layer(valkey, history_bytes=200_000).for_loop()
    await layer.ready()
    await asyncio.gather(*[published(layer, b"x" * 20_000) for _ in range(400)])
    assert store.xlen(keys.stream_log(GROUP)) < 200


async def test_a_history_that_has_expired_is_not_recovered_but_the_offsets_go_on(valkey, make_layer, store):
    layer = make_layer(valkey, history_ttl=1).for_loop()
    await layer.ready()
    first = await published(layer, b"a")
    await published(layer, b"b")
    await eventually(lambda: not store.exists(keys.stream_log(GROUP)))
    history = await read(layer, first.position)
    assert (history.recovered, history.top) == (False, Position(first.position.epoch, 2))
    assert (await published(layer, b"c")).position == Position(first.position.epoch, 3)


async def test_a_position_from_the_future_or_of_another_epoch_is_not_recovered(valkey, make_layer):
    layer = make_layer(valkey).for_loop()
    await layer.ready()
    at = (await published(layer, b"a")).position
    assert not (await read(layer, Position(at.epoch, 9))).recovered
    assert not (await read(layer, Position("none", 0))).recovered
    assert (await read(layer, at)).recovered


async def test_a_wiped_redis_starts_a_new_epoch(valkey, make_layer, store):
    layer = make_layer(valkey).for_loop()
    await layer.ready()
    at = (await published(layer, b"a")).position
    store.flushall()
    after = (await published(layer, b"b")).position
    assert (after.offset, after.epoch != at.epoch) == (1, True)
    assert not (await read(layer, at)).recovered


async def test_flushed_scripts_are_loaded_again_and_the_order_is_kept(valkey, make_layer, store):
    layer = make_layer(valkey).for_loop()
    sink = await joined(layer)
    futures = [published(layer, b"%d" % n) for n in range(50)]
    await asyncio.gather(*futures)
    store.script_flush()
    await asyncio.gather(*[published(layer, b"%d" % n) for n in range(50, 150)])
    await eventually(lambda: len(sink.items) == 150)
    assert sink.texts == [b"%d" % n for n in range(150)]


async def test_a_restart_starts_a_new_epoch_and_the_sink_learns_of_both_ends(own_valkey, make_layer):
    layer = make_layer(own_valkey).for_loop()
    sink = await joined(layer)
    at = (await published(layer, b"a")).position
    own_valkey.stop()
    await eventually(lambda: sink.downs == 1)
    with pytest.raises(Unavailable):
        await published(layer, b"lost")
    own_valkey.start()
    await eventually(lambda: sink.ups == 2)
    after = await published(layer, b"b")
    assert (after.position.offset, after.position.epoch != at.epoch, after.receivers) == (1, True, 1)
    await eventually(lambda: len(sink.items) == 2)


async def test_persistence_that_is_trusted_keeps_the_epoch_over_a_restart(make_layer):
    with EmbeddedValkey(persist=True) as server:
        layer = make_layer(server, trust_persistence=True).for_loop()
        sink = await joined(layer)
        at = (await published(layer, b"a")).position
        server.stop()
        await eventually(lambda: sink.downs == 1)
        server.start()
        await eventually(lambda: sink.ups == 2)
        assert (await published(layer, b"b")).position == Position(at.epoch, 2)
        assert [item.text for item in (await read(layer, at)).missed] == [b"b"]


async def test_persistence_that_is_not_trusted_starts_a_new_epoch(make_layer):
    with EmbeddedValkey(persist=True) as server:
        layer = make_layer(server).for_loop()
        sink = await joined(layer)
        at = (await published(layer, b"a")).position
        server.stop()
        server.start()
        await eventually(lambda: sink.ups == 2)
        assert (await read(layer, None)).top.epoch != at.epoch


async def test_without_redis_everything_fails_in_time_and_nothing_hangs(own_valkey, make_layer):
    own_valkey.stop()
    layer = make_layer(own_valkey, redis_connect_timeout=0.3)
    for work in (
        layer.group_send(GROUP, {"type": MESSAGE, "text": "x"}),
        layer.group_send(GROUP, {"type": "any.event"}),
        layer.send("specific.1!x", {"type": "any.event"}),
        layer.for_loop().ready(),
    ):
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await work


async def test_a_frozen_redis_is_noticed_by_its_silence(own_valkey, make_layer):
    layer = make_layer(own_valkey, redis_timeout=0.5).for_loop()
    sink = await joined(layer)
    own_valkey.freeze()
    try:
        async with asyncio.timeout(20):
            with pytest.raises(Unavailable):
                await published(layer, b"a")
    finally:
        own_valkey.thaw()
    await eventually(lambda: sink.ups == 2)
    assert (await published(layer, b"b")).receivers == 1


async def test_rubbish_on_a_group_channel_harms_nobody(valkey, make_layer, store):
    layer = make_layer(valkey).for_loop()
    sink = await joined(layer)
    raw = redis.Redis.from_url(valkey.url)
    for rubbish in (
        b"",
        b"\x01",
        b"\x01e x y z",
        b"\x02",
        b"\x02x y",
        b"\xc1",
        b"{}",
        b"\x93\x01\x02\x03",
        b"\x01\xff 1 2 x",
    ):
        raw.publish(keys.group_channel(GROUP), rubbish)
    raw.close()
    await published(layer, b"good")
    await eventually(lambda: b"good" in sink.texts)
    assert sink.downs == 0


async def test_a_bug_in_the_sink_costs_that_message_only(valkey, make_layer):
    layer = make_layer(valkey).for_loop()
    sink = await joined(layer)
    taken, sink.on_item = sink.on_item, lambda *_: 1 / 0  # type: ignore[method-assign,assignment]  # the bug
    await published(layer, b"a")
    sink.on_item = taken  # type: ignore[method-assign]
    await published(layer, b"b")
    await eventually(lambda: sink.texts == [b"b"])
    assert sink.downs == 0


# Channels' own API


async def test_groups_of_plain_channels_work_as_with_the_stock_layer(valkey, make_layer):
    one, other = make_layer(valkey), make_layer(valkey)
    names = [await one.new_channel(), await other.new_channel()]
    await one.group_add("news", names[0])
    await other.group_add("news", names[1])
    await one.group_send("news", {"type": "news.item", "n": 1})
    for layer, name in ((one, names[0]), (other, names[1])):
        async with asyncio.timeout(5):
            assert await layer.receive(name) == {"type": "news.item", "n": 1}
    await other.group_discard("news", names[1])
    await one.group_send("news", {"type": "news.item", "n": 2})
    await one.send(names[1], {"type": "direct"})
    async with asyncio.timeout(5):
        assert await other.receive(names[1]) == {"type": "direct"}


async def test_a_stream_event_reaches_the_sink_and_returns_its_place(valkey, make_layer):
    layer = make_layer(valkey)
    sink = await joined(layer.for_loop())
    place = await layer.group_send(GROUP, {"type": MESSAGE, "text": '{"data":{}}', "id": "x"})
    assert (place.position.offset, place.receivers) == (1, 1)
    assert (await layer.group_send(GROUP, {"type": MESSAGE, "text": '{"data":{}}', "id": "x"})).duplicate
    await eventually(lambda: sink.texts == [b'{"data":{}}'])


async def test_an_ephemeral_event_has_no_place_in_the_stream(valkey, make_layer):
    layer = make_layer(valkey)
    sink = await joined(layer.for_loop())
    await layer.group_send(GROUP, {"type": EPHEMERAL, "text": "{}"})
    await eventually(lambda: sink.ephemeral == [(GROUP, b"{}")])
    assert (await read(layer.for_loop(), None)).top.offset == 0


async def test_any_other_event_reaches_the_sink_as_it_is(valkey, make_layer):
    layer = make_layer(valkey)
    sink = await joined(layer.for_loop(), "control")
    await layer.group_send("control", {"type": "realtime.control", "op": "recheck"})
    await eventually(lambda: sink.events == [("control", {"type": "realtime.control", "op": "recheck"})])


async def test_who_left_a_group_hears_nothing(valkey, make_layer):
    layer = make_layer(valkey).for_loop()
    sink = await joined(layer)
    layer.leave(GROUP)
    assert (await published(layer, b"a")).receivers == 0
    await joined(layer, "room.s")
    assert sink.items == []


async def test_leaving_and_joining_in_one_breath_ends_as_a_member(valkey, make_layer):
    layer = make_layer(valkey).for_loop()
    sink = await joined(layer)
    layer.leave(GROUP)
    layer.join(GROUP, lambda _: None)
    layer.leave(GROUP)
    layer.join(GROUP, lambda _: None)
    assert (await published(layer, b"a")).receivers == 1
    await eventually(lambda: sink.texts == [b"a"])


async def test_texts_of_any_bytes_arrive_unchanged(valkey, make_layer):
    layer = make_layer(valkey).for_loop()
    sink = await joined(layer)
    texts = [json.dumps({"n": n, "s": "日\r\n \x00 "}, ensure_ascii=False).encode() for n in range(3)] + [b" ", b""]
    at = [await published(layer, text) for text in texts]
    await eventually(lambda: len(sink.items) == len(texts))
    assert sink.texts == texts
    history = await read(layer, Position(at[0].position.epoch, 0))
    assert [item.text for item in history.missed] == texts
