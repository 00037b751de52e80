"""How a message gets to the server under test: PUBLISH to Redis, or an HTTP POST to Nchan."""

from __future__ import annotations

import asyncio
import http.client
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from urllib.parse import quote, urlsplit

import redis
import redis.asyncio

Addressed = tuple[str, str, bytes]
"""Kind (``broadcast``, ``user``, ``room``), name (empty for a broadcast) and text."""


class Publisher(ABC):
    """One way in."""

    @abstractmethod
    def publish(self, kind: str, name: str, text: bytes) -> None:
        """Publish one message and wait until it is accepted."""

    @abstractmethod
    async def publish_many(self, messages: Iterable[Addressed], *, batch: int = 100) -> None:
        """Publish messages in order as fast as the other side takes them, ``batch`` in flight."""


class RedisPublisher(Publisher):
    """The ingress channels of DESIGN 2.3."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client = redis.Redis.from_url(url)

    def publish(self, kind: str, name: str, text: bytes) -> None:
        """PUBLISH one message."""
        self._client.publish(_channel(kind, name), text)

    async def publish_many(self, messages: Iterable[Addressed], *, batch: int = 100) -> None:
        """PUBLISH in pipelines."""
        async with redis.asyncio.Redis.from_url(self._url) as client:
            for chunk in _chunks(messages, batch):
                pipeline = client.pipeline(transaction=False)
                for kind, name, text in chunk:
                    pipeline.publish(_channel(kind, name), text)
                await pipeline.execute()


class NchanPublisher(Publisher):
    """POSTs on a connection that stays open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._connection = http.client.HTTPConnection(self._host, self._port)

    def publish(self, kind: str, name: str, text: bytes) -> None:
        """POST one message."""
        self._connection.request("POST", self._target(kind, name), body=text)
        self._connection.getresponse().read()

    async def publish_many(self, messages: Iterable[Addressed], *, batch: int = 100) -> None:
        """POST in HTTP/1.1 pipelines."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        for chunk in _chunks(messages, batch):
            writer.write(b"".join(self._request(*message) for message in chunk))
            for _ in chunk:
                await _skip_response(reader)
        writer.close()

    def _target(self, kind: str, name: str) -> str:
        return f"{self._path}?id={quote(_channel_id(kind, name))}"

    def _request(self, kind: str, name: str, text: bytes) -> bytes:
        head = f"POST {self._target(kind, name)} HTTP/1.1\r\nHost: nchan\r\nContent-Length: {len(text)}\r\n\r\n"
        return head.encode() + text


def open_publisher(url: str) -> Publisher:
    """Return the publisher for a ``Route.publish`` URL."""
    return RedisPublisher(url) if url.startswith("redis") else NchanPublisher(url)


def _channel(kind: str, name: str) -> str:
    return f"websocket:{kind}:{name}" if name else f"websocket:{kind}"


def _channel_id(kind: str, name: str) -> str:
    return f"{kind}.{name}" if name else kind


def _chunks(messages: Iterable[Addressed], size: int) -> Iterator[Sequence[Addressed]]:
    source = iter(messages)
    while chunk := list(islice(source, size)):
        yield chunk


async def _skip_response(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            await reader.readexactly(int(line.split(b":")[1]))
