"""What other Django apps plug in: their own message types, and a store for messages to users who are away.

Call these from ``AppConfig.ready()``; ``realtime`` never imports the apps that use it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from realtime.protocol import CLIENT_TYPES, MAX_TYPE_LENGTH, SERVER_TYPES

if TYPE_CHECKING:
    from realtime.context import MessageContext

Handler = Callable[["MessageContext"], Awaitable[Any]]

_handlers: dict[str, Handler] = {}


def message_type(name: str) -> Callable[[Handler], Handler]:
    """Register an async function as the handler of client messages of type ``name``.

    The handler gets a ``MessageContext``; what it returns becomes the content of the ``ack`` (when the message had
    an ``id``), a ``ProtocolError`` it raises becomes the ``error`` frame. Raises ``ValueError`` for a name that is
    taken or not allowed.
    """
    if not name or len(name) > MAX_TYPE_LENGTH or not name.isprintable():
        raise ValueError(f"a message type needs 1 to {MAX_TYPE_LENGTH} printable characters, not {name!r}")
    if name in CLIENT_TYPES or name in SERVER_TYPES or name in _handlers:
        raise ValueError(f"message type {name!r} is taken")

    def register(handler: Handler) -> Handler:
        _handlers[name] = handler
        return handler

    return register


def handler_of(name: str) -> Handler | None:
    """Return the handler registered for a type."""
    return _handlers.get(name)


def unregister(name: str) -> None:
    """Forget a type; for tests."""
    _handlers.pop(name, None)


class OfflineMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message for a user without a connection; ``text`` is its final JSON, ``accepted_at`` Unix seconds."""

    user_id: str
    message_id: str
    type: str
    text: str
    accepted_at: float


class OfflineStore(Protocol):
    """Keeps messages for users who are away; called in a thread, so that plain ORM code will do."""

    def store(self, messages: Sequence[OfflineMessage]) -> None:
        """Keep the messages, in this order; a repeated (user_id, message_id) changes nothing."""

    def pending(self, user_ids: Iterable[str]) -> Mapping[str, Sequence[OfflineMessage]]:
        """Return what is kept and not yet delivered, in order of acceptance.

        May be the first portion of it, of a size that fits a client's write buffer: it is called again until it
        returns nothing for a user.
        """

    def mark_delivered(self, messages: Sequence[OfflineMessage]) -> None:
        """Note that these have reached a connection of their user."""


_offline_store: OfflineStore | None = None


def register_offline_store(store: OfflineStore | None) -> None:
    """Set the store for offline messages; None removes it."""
    global _offline_store  # noqa: PLW0603  # one store per process
    _offline_store = store


def offline_store() -> OfflineStore | None:
    """Return the registered store, if any."""
    return _offline_store
