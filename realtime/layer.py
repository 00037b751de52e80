"""Channels' Redis pub/sub layer with streams: group_send assigns an offset, keeps a history and publishes at once.

For other consumers it is the stock layer: groups, channels, ``receive()``. Streams are what the gateway adds:
an event ``{"type": "realtime.message", "text": …}`` sent to a group becomes part of that group's stream, an event
``{"type": "realtime.ephemeral", "text": …}`` reaches the group without offset and history.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from channels_redis.pubsub import RedisPubSubChannelLayer, RedisPubSubLoopLayer
from channels_redis.utils import _wrap_close

from realtime.codes import RedisReplyError, Unavailable
from realtime.conf import RealtimeSettings, get_settings
from realtime.keys import group_channel, stream_log, stream_meta, stream_seen
from realtime.link import Callback, RedisLink, resolve
from realtime.scripts import SEATS, publish_script, read_script
from realtime.sequencer import Item, Position

logger = logging.getLogger(__name__)

STREAM_MARK = b"\x01"
EPHEMERAL_MARK = b"\x02"
MESSAGE = "realtime.message"
EPHEMERAL = "realtime.ephemeral"

_CHANNEL_PREFIX = group_channel("").encode()


class Published(msgspec.Struct, frozen=True):
    """What became of one message: its place, how many processes heard it, and whether its id was a repetition.

    For a repetition, place and ``receivers`` are those of the first time.
    """

    position: Position
    receivers: int
    duplicate: bool = False


class History(msgspec.Struct, frozen=True):
    """Answer to a read: the top of the stream and, when ``recovered``, every message behind the asked position."""

    recovered: bool
    top: Position
    missed: list[Item]


HistoryCallback = Callable[[History | Exception], None]
PublishCallback = Callable[[Published | Exception], None]


class Sink(Protocol):
    """The gateway's hub, seen from the layer; every call happens in Redis' order."""

    def on_item(self, group: str, item: Item) -> None:
        """Take one message of a stream."""

    def on_ephemeral(self, group: str, text: bytes, sent_ms: int) -> None:
        """Take a message without a place in a stream."""

    def on_event(self, group: str, event: dict[str, Any]) -> None:
        """Take any other channel-layer event."""

    def on_link_up(self, shard: int) -> None:
        """Read again all streams of a shard that came back."""

    def on_link_down(self, shard: int) -> None:
        """Note that a shard is gone."""


class RedisStreamChannelLayer(RedisPubSubChannelLayer):  # type: ignore[misc]  # channels-redis has no types
    """Drop-in for ``channels_redis.pubsub.RedisPubSubChannelLayer``; takes the same CONFIG."""

    def _get_layer(self) -> StreamLoopLayer:
        loop = asyncio.get_running_loop()
        layer: StreamLoopLayer | None = self._layers.get(loop)
        if layer is None:
            layer = StreamLoopLayer(*self._args, **self._kwargs, channel_layer=self)
            self._layers[loop] = layer
            _wrap_close(self, loop)
        return layer

    def for_loop(self) -> StreamLoopLayer:
        """Return the layer of the running event loop, with the stream methods."""
        return self._get_layer()


class StreamLoopLayer(RedisPubSubLoopLayer):  # type: ignore[misc]  # channels-redis has no types
    """The layer of one event loop."""

    def __init__(self, hosts: Any = None, prefix: str = "ginforge", **kwargs: Any) -> None:
        super().__init__(hosts=hosts, prefix=prefix, **kwargs)
        self.conf = get_settings()
        self._shards: list[Shard] = [
            Shard(index, shard.host, self, self.conf) for index, shard in enumerate(self._shards)
        ]
        self.sink: Sink | None = None
        self.sink_groups: set[str] = set()

    @property
    def shards(self) -> list[Shard]:
        """One connection per Redis host."""
        return self._shards

    def shard(self, group: str) -> Shard:
        """Return the Redis that holds this group's stream."""
        found: Shard = self._get_shard(self._get_group_channel_name(group))
        return found

    async def ready(self) -> None:
        """Wait until every shard is connected; raises ``Unavailable`` after the connect timeout."""
        try:
            async with asyncio.timeout(self.conf.redis_connect_timeout):
                for shard in self._shards:
                    await shard.connected()
        except TimeoutError:
            raise Unavailable("Redis is not reachable") from None

    # Streams

    def publish(
        self,
        group: str,
        text: bytes,
        callback: PublishCallback,
        *,
        dedupe_id: str | None = None,
        window: int | None = None,
    ) -> None:
        """Append ``text`` (JSON ending in a ``data`` object) to the group's stream and deliver it.

        Without ``dedupe_id`` nothing is checked; with one, a repetition within ``window`` seconds (by default
        ``conf.idempotency_window``) is not delivered again.
        """
        self.shard(group).publish(group, text, callback, dedupe_id, window)

    def publish_ephemeral(self, group: str, text: bytes) -> asyncio.Future[int]:
        """Deliver without offset and history; the future has the number of processes that heard it."""
        payload = EPHEMERAL_MARK + b"%d " % _now_ms() + text
        return self.shard(group).link.call("PUBLISH", group_channel(group), payload)

    def read(self, group: str, since: Position | None, callback: HistoryCallback) -> None:
        """Read the top of a stream and, with ``since``, what came after that position."""
        self.shard(group).read(group, since, callback)

    def attach(self, sink: Sink) -> None:
        """Let ``sink`` take every message of the groups it joins; one sink per loop."""
        self.sink = sink

    def join(self, group: str, callback: Callback) -> None:
        """Subscribe the sink to a group; ``callback`` gets None when Redis has confirmed, or an exception."""
        self.sink_groups.add(group)
        self.shard(group).subscribe_group(group, callback)

    def leave(self, group: str) -> None:
        """End the sink's membership; the subscription goes unless another channel of this loop needs it."""
        self.sink_groups.discard(group)
        if self._get_group_channel_name(group) not in self.groups:
            self.shard(group).link.unsubscribe(group_channel(group).encode())

    # Channels' API

    async def group_send(self, group: str, message: dict[str, Any]) -> Published | None:
        """Send to a group; a ``realtime.message`` event goes through the stream and returns its place.

        Raises ``Unavailable`` while Redis is not reachable.
        """
        await self.shard(group).connected_soon()
        kind = message.get("type")
        if kind == MESSAGE:
            future: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
            text = message["text"].encode() if isinstance(message["text"], str) else message["text"]
            self.publish(group, text, lambda reply: resolve(future, reply), dedupe_id=message.get("id"))
            return await future
        if kind == EPHEMERAL:
            text = message["text"].encode() if isinstance(message["text"], str) else message["text"]
            await self.publish_ephemeral(group, text)
            return None
        await self.shard(group).publish_raw(group_channel(group), self.channel_layer.serialize(message))
        return None

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send to one channel; raises ``Unavailable`` while Redis is not reachable."""
        shard: Shard = self._get_shard(channel)
        await shard.publish_raw(channel, self.channel_layer.serialize(message))

    async def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group; the sink's own membership stays."""
        group_channel_name = self._get_group_channel_name(group)
        members = self.groups.get(group_channel_name, set())
        members.discard(channel)
        if not members:
            self.groups.pop(group_channel_name, None)
            if group not in self.sink_groups:
                await self.shard(group).unsubscribe(group_channel_name)

    async def flush(self) -> None:
        """Forget all channels and groups and close the connections."""
        self.sink_groups.clear()
        await super().flush()

    def deliver(self, name: bytes, data: bytes) -> None:
        """Hand one pub/sub message to the sink and to the channels that are members of its group."""
        if name.startswith(_CHANNEL_PREFIX):
            group = name[len(_CHANNEL_PREFIX) :].decode()
            if self.sink is not None and group in self.sink_groups:
                self._to_sink(self.sink, group, data)
        channel_name = name.decode()
        if channel_name in self.channels:
            self.channels[channel_name].put_nowait(data)
        else:
            for member in self.groups.get(channel_name, ()):
                if member in self.channels:
                    self.channels[member].put_nowait(data)

    def _to_sink(self, sink: Sink, group: str, data: bytes) -> None:
        mark = data[:1]
        if mark == STREAM_MARK:
            sink.on_item(group, parse_item(data))
        elif mark == EPHEMERAL_MARK:
            sent_ms, text = data[1:].split(b" ", 1)
            sink.on_ephemeral(group, text, int(sent_ms))
        else:
            sink.on_event(group, self.channel_layer.deserialize(data))


def parse_item(data: bytes) -> Item:
    r"""Parse ``\x01<epoch> <offset> <sent_ms> <text>`` as the publish script writes it."""
    epoch, offset, sent_ms, text = data[1:].split(b" ", 3)
    return Item(epoch.decode(), int(offset), int(sent_ms), text)


def _parse_log(epoch: str, first: int, texts: list[bytes]) -> list[Item]:
    items = []
    for number, stored in enumerate(texts, first):
        sent_ms, text = stored.split(b" ", 1)
        items.append(Item(epoch, number, int(sent_ms), text))
    return items


class Shard:
    """One Redis of the layer: its connection, its scripts, and the channels-redis shard interface."""

    def __init__(self, index: int, host: dict[str, Any], layer: StreamLoopLayer, conf: RealtimeSettings) -> None:
        self.index = index
        self.host = host
        self._layer = layer
        self._conf = conf
        self._subscribed: set[str] = set()
        self._scripts: dict[str, bytes] = {}
        self._held: list[tuple[Callback, str, tuple[str | bytes | int, ...]]] | None = None
        self._link: RedisLink | None = None

    @property
    def link(self) -> RedisLink:
        """The connection; started at first use."""
        if self._link is None:
            self._link = RedisLink(
                self.host, self, connect_timeout=self._conf.redis_connect_timeout, timeout=self._conf.redis_timeout
            )
            self._link.start()
        return self._link

    @property
    def up(self) -> bool:
        """Whether the connection is ready for use."""
        return self._link is not None and self._link.connected.is_set()

    async def connected(self) -> None:
        """Wait for the connection."""
        await self.link.connected.wait()

    async def connected_soon(self) -> None:
        """Wait for a first connection, at most the connect timeout; raises ``Unavailable``."""
        if not self.up:
            try:
                async with asyncio.timeout(self._conf.redis_connect_timeout):
                    await self.connected()
            except TimeoutError:
                raise Unavailable("Redis is not reachable") from None

    # Streams

    def publish(
        self, group: str, text: bytes, callback: PublishCallback, dedupe_id: str | None, window: int | None = None
    ) -> None:
        """See ``StreamLoopLayer.publish``."""
        keys = [stream_meta(group), stream_log(group)]
        if dedupe_id is not None:
            keys.append(stream_seen(group, dedupe_id))
        conf = self._conf
        kept = max(16, min(conf.history_size, conf.history_bytes // (len(text) + 64)))

        def answered(reply: Any) -> None:
            callback(reply if isinstance(reply, Exception) else _published(reply))

        self.run("publish", answered, len(keys), *keys, b"%d " % _now_ms() + text, group_channel(group), kept,
                  conf.history_ttl, conf.position_ttl, _fresh_epoch(), window or conf.idempotency_window)  # fmt: skip

    def read(self, group: str, since: Position | None, callback: HistoryCallback) -> None:
        """See ``StreamLoopLayer.read``."""
        conf = self._conf
        epoch, after = (since.epoch, since.offset) if since else ("", 0)

        def answered(reply: Any) -> None:
            callback(reply if isinstance(reply, Exception) else _history(after, reply))

        self.run("read", answered, 2, stream_meta(group), stream_log(group), epoch, after, _fresh_epoch(),
                  conf.position_ttl, conf.history_bytes)  # fmt: skip

    def run(self, name: str, callback: Callback, *args: str | bytes | int) -> None:
        """Run a script; when Redis has forgotten it, load it again and keep the order of what was sent."""
        link = self.link
        if name not in self._scripts:
            callback(Unavailable("Redis is not connected"))
            return
        if self._held is not None:
            self._held.append((callback, name, args))
            return

        def answered(reply: Any) -> None:
            if isinstance(reply, RedisReplyError) and str(reply).startswith("NOSCRIPT"):
                self._hold(callback, name, args)
            else:
                callback(reply)

        link.execute(answered, "EVALSHA", self._scripts[name], *args)

    def _hold(self, callback: Callback, name: str, args: tuple[str | bytes | int, ...]) -> None:
        if self._held is None:
            self._held = []
            asyncio.get_running_loop().create_task(self._reload())
        self._held.append((callback, name, args))

    async def _reload(self) -> None:
        try:
            await self._load_scripts(self.link)
        except (Unavailable, RedisReplyError) as error:
            held, self._held = self._held or [], None
            for callback, _, _ in held:
                callback(error)
            return
        held, self._held = self._held or [], None
        for callback, name, args in held:
            self.run(name, callback, *args)

    # Link owner

    async def link_up(self, link: RedisLink) -> None:
        """Load the scripts for this run of Redis, subscribe again, and let the sink fill what it missed."""
        await self._load_scripts(link)
        names = sorted(self._subscribed | {group_channel(g) for g in self._layer.sink_groups if self._owns(g)})
        for name in names:
            link.subscribe(name.encode(), _log_failure)
        if self._layer.sink is not None:
            self._layer.sink.on_link_up(self.index)

    def link_down(self, link: RedisLink) -> None:  # noqa: ARG002  # the owner's interface
        """Tell the sink."""
        self._scripts.clear()
        if self._layer.sink is not None:
            self._layer.sink.on_link_down(self.index)

    def link_push(self, link: RedisLink, channel: bytes, data: bytes, pattern: bytes | None) -> None:  # noqa: ARG002
        """Pass a message on; one that cannot be dealt with costs nothing but itself."""
        try:
            self._layer.deliver(channel, data)
        except Exception:
            logger.exception("a message from redis was dropped", extra={"channel": channel[:200], "size": len(data)})

    async def _load_scripts(self, link: RedisLink) -> None:
        trust = self._conf.trust_persistence
        loaded = {}
        for name, build in (("publish", publish_script), ("read", read_script)):
            loaded[name] = await link.call("SCRIPT", "LOAD", build(link.run_id, trust=trust))
        loaded["seats"] = await link.call("SCRIPT", "LOAD", SEATS)
        self._scripts = loaded

    def _owns(self, group: str) -> bool:
        return self._layer.shard(group) is self

    def subscribe_group(self, group: str, callback: Callback) -> None:
        """Subscribe to a group's channel; see ``StreamLoopLayer.join``."""
        self.link.subscribe(group_channel(group).encode(), callback)

    # For Channels' own events

    async def publish_raw(self, channel: str, message: bytes) -> None:
        """PUBLISH and wait for the reply."""
        await self.connected_soon()
        await self.link.call("PUBLISH", channel, message)

    async def subscribe(self, channel: str) -> None:
        """SUBSCRIBE and wait for the confirmation."""
        self._subscribed.add(channel)
        await self.connected_soon()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.link.subscribe(channel.encode(), lambda reply: resolve(future, reply))
        await future

    async def unsubscribe(self, channel: str) -> None:
        """UNSUBSCRIBE; does not wait."""
        if channel in self._subscribed:
            self._subscribed.discard(channel)
            self.link.unsubscribe(channel.encode())

    async def flush(self) -> None:
        """Close the connection and forget the subscriptions."""
        self._subscribed.clear()
        if self._link is not None:
            await self._link.close()
            self._link = None


def _published(reply: list[Any]) -> Published:
    offset, epoch, receivers = reply
    if offset:
        return Published(Position(epoch.decode(), offset), receivers)
    seen_offset, seen_epoch, seen_receivers = epoch.decode().split(" ", 2)
    return Published(Position(seen_epoch, int(seen_offset)), int(seen_receivers), duplicate=True)


def _history(after: int, reply: list[Any]) -> History:
    recovered, epoch, top = bool(reply[0]), reply[1].decode(), reply[2]
    missed = _parse_log(epoch, after + 1, reply[3]) if len(reply) > 3 else []
    return History(recovered, Position(epoch, top), missed)


def _fresh_epoch() -> str:
    return secrets.token_hex(6)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _log_failure(reply: Any) -> None:
    if isinstance(reply, Exception):
        logger.debug("subscribe failed: %s", reply)
