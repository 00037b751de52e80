"""Room permissions in the manner of REST framework: a class per question, chosen by the room's name (docs/rooms.md).

``settings.REALTIME["room_permissions"] = {"order:*": ["shop.permissions.OwnsOrder"]}``
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from channels.db import database_sync_to_async
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied, ValidationError
from django.http import Http404
from django.utils.module_loading import import_string

from realtime.conf import RealtimeSettings
from realtime.principal import Principal
from realtime.rooms import RoomPolicy, matches

_CACHED_ROOMS: Final = 4096
_REFUSALS: Final = (ObjectDoesNotExist, PermissionDenied, Http404, ValidationError, ValueError, OverflowError)
"""The last three are what the ORM says to a name that is no key: ``order:x``."""


class RoomPermission:
    """Says who may enter a room, and who of its members may send.

    The methods may read models: plain ones run in a thread, ``async def`` ones in the event loop. To raise
    ``DoesNotExist``, ``PermissionDenied``, ``Http404`` or ``ValueError`` is to say no, so that a client cannot tell a
    room that is not there from one it may not enter. Any other exception refuses with 500 and is logged.
    """

    changes: bool = True
    """Whether the answer can change while a token lives; then it is asked again every ``room_policy_recheck`` s."""
    in_thread: bool = True
    """Whether plain methods need a thread; those that neither block nor read the database do not."""

    def has_permission(self, principal: Principal, room: str) -> bool | Awaitable[bool]:
        """Tell whether this user may become, and stay, a member."""
        raise NotImplementedError

    def has_send_permission(self, principal: Principal, room: str) -> bool | Awaitable[bool]:  # noqa: ARG002
        """Tell whether this member may send; asked for every message, unless it is not overridden."""
        return True


class AllowAny(RoomPermission):
    """Everyone who is signed in."""

    changes = in_thread = False

    def has_permission(self, principal: Principal, room: str) -> bool:  # noqa: ARG002  # the interface
        """Say yes."""
        return True


class IsStaff(RoomPermission):
    """Holders of a token with ``is_staff``."""

    changes = in_thread = False

    def has_permission(self, principal: Principal, room: str) -> bool:  # noqa: ARG002  # the interface
        """Look into the token."""
        return principal.is_staff


class ReadOnly(AllowAny):
    """Members listen; only services send."""

    def has_send_permission(self, principal: Principal, room: str) -> bool:  # noqa: ARG002  # the interface
        """Say no."""
        return False


Question = Callable[[Principal, str], bool | Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Rule:
    """The permissions of the rooms that fit one pattern."""

    pattern: str
    join: tuple[Question, ...]
    send: tuple[Question, ...]
    changes: bool


class PatternRoomPolicy(RoomPolicy):
    """Asks the permission classes of the first pattern that fits; rooms that fit none follow the default rules.

    A token with a ``rooms`` claim never opens more than the claim lists, whatever the classes say.
    """

    def __init__(self, permissions: Mapping[str, Iterable[str]]) -> None:
        self._rules = [_rule(pattern, paths) for pattern, paths in permissions.items()]
        self.changes = any(rule.changes for rule in self._rules)
        self._rule_of = functools.lru_cache(maxsize=_CACHED_ROOMS)(self._find)

    def may_change(self, room: str) -> bool:
        """Tell whether the classes of this room look at more than the token."""
        rule = self._rule_of(room)
        return rule is not None and rule.changes

    def can_join(self, principal: Principal, room: str) -> bool | Awaitable[bool]:
        """Ask the room's classes; all must agree."""
        rule = self._rule_of(room)
        if rule is None:
            return super().can_join(principal, room)
        if principal.rooms is not None and not matches(principal.rooms, room):
            return False
        return _ask(rule.join, principal, room)

    def can_send(self, principal: Principal, room: str) -> bool | Awaitable[bool]:
        """Ask those of the room's classes that have a say in it; all must agree."""
        rule = self._rule_of(room)
        return _ask(rule.send, principal, room) if rule is not None else True

    def _find(self, room: str) -> Rule | None:
        return next((rule for rule in self._rules if matches((rule.pattern,), room)), None)


def build_policy(conf: RealtimeSettings) -> RoomPolicy:
    """Build the project's policy; raises ``ImportError`` or ``TypeError`` for paths that are not what they should be.

    With ``room_permissions`` it is a ``PatternRoomPolicy``, else the class ``room_policy`` names.
    """
    if conf.room_permissions:
        return PatternRoomPolicy(conf.room_permissions)
    policy: RoomPolicy = import_string(conf.room_policy)()
    return policy


def _rule(pattern: str, paths: Iterable[str]) -> Rule:
    permissions = [_load(path) for path in paths]
    senders = [p for p in permissions if type(p).has_send_permission is not RoomPermission.has_send_permission]
    return Rule(
        pattern,
        tuple(_question(p.has_permission, in_thread=p.in_thread) for p in permissions),
        tuple(_question(p.has_send_permission, in_thread=p.in_thread) for p in senders),
        changes=any(p.changes for p in permissions),
    )


def _load(path: str) -> RoomPermission:
    found: Any = import_string(path)
    if not (inspect.isclass(found) and issubclass(found, RoomPermission)):
        raise TypeError(f"{path} is not a RoomPermission")
    return found()


def _question(method: Question, *, in_thread: bool) -> Question:
    if in_thread and not inspect.iscoroutinefunction(method):
        threaded: Question = database_sync_to_async(method)
        return threaded
    return method


def _ask(questions: tuple[Question, ...], principal: Principal, room: str) -> bool | Awaitable[bool]:
    """Ask one after the other until one says no; without a task when none has to wait."""
    for number, question in enumerate(questions):
        try:
            answer = question(principal, room)
        except _REFUSALS:
            return False
        if inspect.isawaitable(answer):
            return _ask_rest(answer, questions[number + 1 :], principal, room)
        if not answer:
            return False
    return True


async def _ask_rest(first: Awaitable[bool], rest: tuple[Question, ...], principal: Principal, room: str) -> bool:
    try:
        if not await first:
            return False
        answer = _ask(rest, principal, room)
        return bool(await answer if inspect.isawaitable(answer) else answer)
    except _REFUSALS:
        return False
