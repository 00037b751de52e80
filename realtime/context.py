"""What the handler of another app's message type gets to see and do."""

# ruff: noqa: A002  # a message's type is called type everywhere

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from realtime.groups import BROADCAST, room_group, user_group
from realtime.link import resolve
from realtime.protocol import ClientMessage, ServerMessage, encode, encode_for_stream, valid_name

if TYPE_CHECKING:
    from realtime.connection import Connection
    from realtime.layer import Published, StreamLoopLayer
    from realtime.principal import Principal


class MessageContext:
    """One client message of a registered type, and ways to answer it."""

    def __init__(self, connection: Connection, message: ClientMessage, layer: StreamLoopLayer) -> None:
        self.message = message
        self._connection = connection
        self._layer = layer

    @property
    def principal(self) -> Principal:
        """Who sent it."""
        return self._connection.principal

    @property
    def client_id(self) -> str:
        """From which connection."""
        return self._connection.client_id

    @property
    def rooms(self) -> frozenset[str]:
        """Rooms this connection is a member of."""
        return frozenset(self._connection.session.rooms or ())

    def reply(self, type: str, content: Any, data: dict[str, Any] | None = None) -> None:
        """Send a message to this connection alone."""
        self._connection.reply(encode(self._message(type, content, data)))

    async def send_to_user(self, user_id: str, type: str, content: Any, data: dict[str, Any] | None = None) -> str:
        """Send to all devices of a user; returns the message id. Raises ``Unavailable`` or ``ProtocolError``."""
        message = self._message(type, content, data)
        message.to = valid_name(user_id, "the user id")
        return await self._publish(user_group(user_id), message)

    async def send_to_room(self, room: str, type: str, content: Any, data: dict[str, Any] | None = None) -> str:
        """Send to all members of a room; returns the message id. Raises ``Unavailable`` or ``ProtocolError``."""
        message = self._message(type, content, data)
        message.room = valid_name(room, "the room")
        return await self._publish(room_group(room), message)

    async def broadcast(self, type: str, content: Any, data: dict[str, Any] | None = None) -> str:
        """Send to everyone; returns the message id. Raises ``Unavailable``."""
        return await self._publish(BROADCAST, self._message(type, content, data))

    def _message(self, type: str, content: Any, data: dict[str, Any] | None) -> ServerMessage:
        principal = self.principal
        return ServerMessage(
            type=type,
            id=secrets.token_hex(12),
            from_=principal.user_id,
            from_name=principal.username or principal.user_id,
            content=content,
            data=UNSET if data is None else data,
            timestamp=int(time.time()),
        )

    async def _publish(self, group: str, message: ServerMessage) -> str:
        future: asyncio.Future[Published] = asyncio.get_running_loop().create_future()
        self._layer.publish(group, encode_for_stream(message), lambda reply: resolve(future, reply))
        await future
        return str(message.id)
