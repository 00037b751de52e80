"""Who may join and send where. A project replaces ``RoomPolicy`` through ``settings.REALTIME["room_policy"]``."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Awaitable

from realtime.principal import Principal

ADMIN_PREFIX = "admin:"
USER_PREFIX = "user:"
ADMIN_PAGE_PREFIX = "admin-page:"
"""Start of the user ids as which the admin's own pages connect; nobody is told that they come and go."""
TRACE_PREFIX = "admin:trace:"
"""Rooms of live traces: opened by the ``rooms`` claim of a token minted for one, never by being staff alone."""


class RoomPolicy:
    """The default rules; answers may be plain or awaitable, so that a subclass can ask a database.

    A token with a ``rooms`` claim opens these rooms and no others. Without it, ``admin:…`` is for staff,
    ``user:<id>:…`` for that user, and any other room for everyone who is signed in.
    """

    changes: bool = False
    """Whether answers can change while a connection lives; then memberships are checked again and again."""

    def may_change(self, room: str) -> bool:  # noqa: ARG002  # for subclasses
        """Tell whether the answer for this room can; spares the others the question."""
        return self.changes

    def can_join(self, principal: Principal, room: str) -> bool | Awaitable[bool]:
        """Tell whether this user may become (or stay) a member."""
        if principal.rooms is not None:
            return matches(principal.rooms, room)
        if room.startswith(ADMIN_PREFIX):
            return principal.is_staff and not room.startswith(TRACE_PREFIX)
        if room.startswith(USER_PREFIX):
            return owns(principal.user_id, room)
        return True

    def can_send(self, principal: Principal, room: str) -> bool | Awaitable[bool]:  # noqa: ARG002  # for subclasses
        """Tell whether this member may send."""
        return True


def owns(user_id: str, room: str) -> bool:
    """Whether a ``user:…`` room belongs to this user.

    An id that holds a colon owns none: ``user:a:b:x`` could be read as a room of ``a`` and of ``a:b``.
    """
    return ":" not in user_id and room.startswith(f"{USER_PREFIX}{user_id}:")


def matches(patterns: tuple[str, ...], room: str) -> bool:
    """Whether a room fits one of the glob patterns; ``*`` crosses colons, upper and lower case differ."""
    return any(_compiled(pattern).match(room) for pattern in patterns)


@functools.lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))
