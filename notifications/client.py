"""``NotificationClient``: checked messages into Redis, and who is online (DESIGN 2.4)."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, cast

import redis.exceptions

from notifications import outgoing
from notifications.configuration import ClientSettings, resolve_settings
from notifications.connections import AsyncConnections, BlockingConnections
from notifications.deadline import deadline
from notifications.errors import RedisRefused, RedisUnavailable
from notifications.outgoing import Outgoing, UserId
from realtime import keys

P = ParamSpec("P")
Command = tuple[str | bytes | int, ...]
Sendable = Outgoing | Mapping[str, Any]
"""What ``send_many`` takes: a built message, or the arguments of ``send_notification`` as a mapping."""


def _sender(name: str, build: Callable[P, Outgoing]) -> Callable[Concatenate[NotificationClient, P], str]:
    @functools.wraps(build)
    def send(self: NotificationClient, /, *args: P.args, **kwargs: P.kwargs) -> str:
        return self.publish(build(*args, **kwargs))

    _describe(send, name, build)
    return send


def _async_sender(
    name: str, build: Callable[P, Outgoing]
) -> Callable[Concatenate[NotificationClient, P], Coroutine[Any, Any, str]]:
    @functools.wraps(build)
    async def send(self: NotificationClient, /, *args: P.args, **kwargs: P.kwargs) -> str:
        return await self.apublish(build(*args, **kwargs))

    _describe(send, name, build)
    return send


def _describe(method: Any, name: str, build: Callable[..., Outgoing]) -> None:
    """Give a generated method the name and the signature that ``help()`` and editors show."""
    method.__name__ = name
    method.__qualname__ = f"NotificationClient.{name}"
    method.__module__ = __name__
    signature = inspect.signature(build)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__signature__ = signature.replace(parameters=[this, *signature.parameters.values()], return_annotation="str")


class NotificationClient:
    """Sends to the gateway through Redis; every method has an asyncio twin whose name starts with ``a``.

    Without arguments it uses the settings of the process. Safe to share between threads, forked processes and event
    loops. Every call ends within ``timeout`` seconds (5) and raises ``NotificationError`` when it fails:
    ``InvalidMessage`` before anything was sent, ``RedisUnavailable`` or ``RedisRefused`` afterwards.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        settings: ClientSettings | None = None,
        connect_timeout: float | None = None,
        timeout: float | None = None,
    ) -> None:
        if settings is None:
            settings = resolve_settings() if url is None else ClientSettings(url=url)
        if connect_timeout is not None:
            settings = replace(settings, connect_timeout=connect_timeout)
        if timeout is not None:
            settings = replace(settings, timeout=timeout)
        self.settings = settings
        self._blocking = BlockingConnections(settings)
        self._async = AsyncConnections(settings)

    send_notification = _sender("send_notification", outgoing.notification)
    asend_notification = _async_sender("asend_notification", outgoing.notification)
    broadcast_notification = _sender("broadcast_notification", outgoing.broadcast_notification)
    abroadcast_notification = _async_sender("abroadcast_notification", outgoing.broadcast_notification)
    send_message = _sender("send_message", outgoing.message)
    asend_message = _async_sender("asend_message", outgoing.message)
    send_to_room = _sender("send_to_room", outgoing.room_message)
    asend_to_room = _async_sender("asend_to_room", outgoing.room_message)
    broadcast_message = _sender("broadcast_message", outgoing.broadcast)
    abroadcast_message = _async_sender("abroadcast_message", outgoing.broadcast)
    broadcast_data_update = _sender("broadcast_data_update", outgoing.data_update)
    abroadcast_data_update = _async_sender("abroadcast_data_update", outgoing.data_update)

    def publish(self, message: Outgoing) -> str:
        """Send a built message and return its id."""
        self._execute([message])
        return message.id

    async def apublish(self, message: Outgoing) -> str:
        """Send a built message and return its id."""
        await self._aexecute([message])
        return message.id

    def send_many(self, messages: Iterable[Sendable]) -> list[str]:
        """Send messages in one round trip, in this order, and return their ids; all are checked before any is sent.

        Raises ``RedisRefused``, whose ``failed`` names the ids that were refused while the others were sent.
        """
        built = _built(messages)
        if built:
            self._execute(built)
        return [message.id for message in built]

    async def asend_many(self, messages: Iterable[Sendable]) -> list[str]:
        """Like ``send_many``."""
        built = _built(messages)
        if built:
            await self._aexecute(built)
        return [message.id for message in built]

    def is_user_online(self, user_id: UserId) -> bool:
        """Say whether the user has a connection to any gateway."""
        return bool(self._query("HEXISTS", keys.PRESENCE_USERS, outgoing.user_name(user_id)))

    async def ais_user_online(self, user_id: UserId) -> bool:
        """Like ``is_user_online``."""
        return bool(await self._aquery("HEXISTS", keys.PRESENCE_USERS, outgoing.user_name(user_id)))

    def get_online_users(self) -> list[str]:
        """Return the ids of all users with a connection to any gateway, sorted."""
        return _names(self._query("HKEYS", keys.PRESENCE_USERS))

    async def aget_online_users(self) -> list[str]:
        """Like ``get_online_users``."""
        return _names(await self._aquery("HKEYS", keys.PRESENCE_USERS))

    def close(self) -> None:
        """Close the blocking connections; the client stays usable."""
        self._blocking.close()

    async def aclose(self) -> None:
        """Close the running event loop's connections (its end would, too); the client stays usable."""
        await self._async.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _execute(self, messages: Sequence[Outgoing]) -> None:
        with _translated(), deadline(self.settings.timeout), self._blocking.client().pipeline(False) as pipe:
            self._queue(pipe, messages)
            replies = pipe.execute(raise_on_error=False)
        _check(messages, replies)

    async def _aexecute(self, messages: Sequence[Outgoing]) -> None:
        with _translated():
            async with asyncio.timeout(self.settings.timeout):
                async with (await self._async.client()).pipeline(False) as pipe:
                    self._queue(pipe, messages)
                    replies = await pipe.execute(raise_on_error=False)
        _check(messages, replies)

    def _query(self, *command: str) -> Any:
        with _translated(), deadline(self.settings.timeout):
            client: Any = self._blocking.client()
            return client.execute_command(*command)

    async def _aquery(self, *command: str) -> Any:
        with _translated():
            async with asyncio.timeout(self.settings.timeout):
                client: Any = await self._async.client()
                return await client.execute_command(*command)

    def _queue(self, pipe: Any, messages: Sequence[Outgoing]) -> None:
        for message in messages:
            pipe.execute_command(*self._command(message))

    def _command(self, message: Outgoing) -> Command:
        if not message.durable:
            return ("PUBLISH", message.channel, message.payload)
        limit = ("MAXLEN", "~", self.settings.ingress_limit)
        return ("XADD", keys.INGRESS_STREAM, *limit, "*", "channel", message.channel, "message", message.payload)


def _built(messages: Iterable[Sendable]) -> list[Outgoing]:
    return [item if isinstance(item, Outgoing) else outgoing.notification(**item) for item in messages]


def _names(reply: Any) -> list[str]:
    return sorted(name.decode() for name in cast("list[bytes]", reply))


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except redis.exceptions.ResponseError as error:
        raise RedisRefused(f"Redis refused: {_reason(error)}") from None
    except (redis.exceptions.RedisError, OSError) as error:
        # OSError holds the built-in TimeoutError of the deadline.
        raise RedisUnavailable(f"Redis did not answer: {_reason(error)}") from error


def _check(messages: Sequence[Outgoing], replies: Sequence[Any]) -> None:
    refused = [(m, r) for m, r in zip(messages, replies, strict=True) if isinstance(r, Exception)]
    if refused:
        text = f"Redis refused {len(refused)} of {len(messages)} message(s): {_reason(refused[0][1])}"
        raise RedisRefused(text, [message.id for message, _ in refused])


def _reason(error: Exception) -> str:
    """Return an error's text without the arguments of the command, which hold the message."""
    return str(error).split(", with args", maxsplit=1)[0][:200] or error.__class__.__name__
