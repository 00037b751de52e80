"""Every message type with its content as a struct: the source of the AsyncAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

Name = Annotated[str, Meta(min_length=1, max_length=512, description="User id or room name; no control characters.")]
MessageId = Annotated[str, Meta(max_length=128)] | int
Seconds = Annotated[int, Meta(ge=0, description="Unix seconds.")]
Offset = Annotated[int, Meta(ge=0)]


class StreamPosition(Struct):
    """A place in a stream; within an epoch offsets have no holes."""

    epoch: str
    offset: Offset


class StreamStamp(StreamPosition):
    """Where a message stands in its stream."""

    name: Annotated[str, Meta(description="broadcast, user, or room:<room>", examples=["room:chat:room001"])]


class Level(Struct):
    """What the server says about the connection or a request."""

    code: Annotated[int, Meta(description="0, or an error code that means what it means in HTTP.")]
    message: str
    level: Literal["info", "error"]


class WelcomeData(Struct):
    """What a client needs to know at the start."""

    client_id: str
    user_id: Name
    server_time: Seconds
    heartbeat: Annotated[int, Meta(description="Seconds between the server's pings.")]
    node: str
    expires_at: Seconds
    streams: dict[str, StreamPosition]


class Notification(Struct):
    """A notification for people."""

    title: str
    body: str
    icon: str | UnsetType = UNSET
    link: str | UnsetType = UNSET
    category: str | UnsetType = UNSET
    data: Any = UNSET


class NotificationData(Struct):
    """State of a notification."""

    notification_id: str
    read: bool
    stream: StreamStamp | UnsetType = UNSET


class DataUpdate(Struct):
    """Something changed in a back end; clients load it anew."""

    entity: str
    action: str
    id: Any = UNSET
    data: Any = UNSET


class UserStatus(Struct):
    """A user came with the first device, or went with the last."""

    user_id: Name
    user_name: str
    status: Literal["online", "offline"]


class Resume(Struct):
    """The positions a client saw last, by stream name."""

    streams: dict[str, StreamPosition]


class ResumedStream(Struct):
    """What became of one stream; ``recovered`` false means: load the state anew."""

    recovered: bool
    count: Annotated[int, Meta(ge=0, description="Missed messages that follow.")]
    epoch: str | UnsetType = UNSET
    offset: Offset | UnsetType = UNSET
    error: dict[str, Any] | UnsetType = UNSET


class Resumed(Struct):
    """The answer to ``resume``."""

    streams: dict[str, ResumedStream]


class RefreshToken(Struct):
    """A fresh token of the same user."""

    token: str


class TokenExpiring(Struct):
    """The token is about to expire; send a fresh one with ``refresh_token``."""

    expires_at: Seconds


class StreamData(Struct):
    """``data`` of a message that belongs to a stream; publishers may add fields of their own."""

    stream: StreamStamp | UnsetType = UNSET


class MessageType(Struct, frozen=True, kw_only=True):
    """One row of the contract's table of types."""

    name: str
    summary: str
    client: bool = False
    """A client may send it."""
    server: bool = False
    """The server (or a publisher) may send it."""
    content: Any = Any
    data: Any = None
    target: Literal["to", "room"] | None = None
    """Field that says whom it is for."""
    reply: str | None = None
    """Type of the answer."""


CATALOGUE: tuple[MessageType, ...] = (
    MessageType(name="welcome", summary="The first frame", server=True, content=Level, data=WelcomeData),
    MessageType(name="ping", summary="Are you there?", client=True, content=None, reply="pong"),
    MessageType(name="pong", summary="I am", client=True, server=True, content=None),
    MessageType(
        name="notification",
        summary="A notification; kept for a user who is away",
        server=True,
        content=Notification,
        data=NotificationData,
        target="to",
    ),
    MessageType(
        name="chat",
        summary="To every device of a user; kept for one who is away",
        client=True,
        server=True,
        data=StreamData,
        target="to",
        reply="ack",
    ),
    MessageType(name="broadcast", summary="To everyone", server=True, data=StreamData),
    MessageType(name="system", summary="To everyone, from the system", server=True, data=StreamData),
    MessageType(name="refresh", summary="To everyone: load the page anew", server=True, data=StreamData),
    MessageType(name="join_room", summary="Become a member of a room", client=True, content=Name, reply="ack"),
    MessageType(name="leave_room", summary="Leave a room", client=True, content=Name, reply="ack"),
    MessageType(
        name="room_message",
        summary="To every member of a room, the sender too; members only",
        client=True,
        server=True,
        data=StreamData,
        target="room",
        reply="ack",
    ),
    MessageType(name="user_status", summary="A user came or went", server=True, content=UserStatus),
    MessageType(name="data_update", summary="Something changed", server=True, content=DataUpdate, data=StreamData),
    MessageType(
        name="error", summary="A message was refused, or the connection will be closed", server=True, content=Level
    ),
    MessageType(
        name="ack", summary="A message that had an id was accepted; content is the result", client=True, server=True
    ),
    MessageType(name="resume", summary="Recover what was missed", client=True, content=Resume, reply="resumed"),
    MessageType(
        name="resumed",
        summary="What became of each stream; the missed messages follow. Also sent unasked when something is gone",
        server=True,
        content=Resumed,
    ),
    MessageType(
        name="refresh_token", summary="Go on with a fresh token", client=True, content=RefreshToken, reply="ack"
    ),
    MessageType(name="token_expiring", summary="The token is about to expire", server=True, content=TokenExpiring),
)
"""The whole vocabulary, in the order of the contract."""


def content_schemas() -> dict[str, Any]:
    """Return the JSON Schemas of all content and data structs, by name."""
    structs = [t for row in CATALOGUE for t in (row.content, row.data) if isinstance(t, type) and issubclass(t, Struct)]
    _, components = msgspec.json.schema_components(structs, ref_template="#/components/schemas/{name}")
    return components
