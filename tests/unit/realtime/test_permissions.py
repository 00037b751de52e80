"""PatternRoomPolicy: permission classes by the room's name."""

from __future__ import annotations

import inspect
import threading
from typing import Any

import pytest
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404

from realtime.conf import RealtimeSettings, build_settings
from realtime.permissions import AllowAny, IsStaff, PatternRoomPolicy, ReadOnly, RoomPermission, build_policy
from realtime.rooms import RoomPolicy
from tests.unit.realtime.doubles import holder

HERE = __name__
BUILT_IN = "realtime.permissions"


class OwnsIt(RoomPermission):
    def has_permission(self, principal, room):
        assert threading.current_thread() is not threading.main_thread()
        return room == f"order:{principal.user_id}"


class OwnsItLater(RoomPermission):
    async def has_permission(self, principal, room):
        return room == f"later:{principal.user_id}"

    async def has_send_permission(self, principal, room):
        return principal.is_staff


class Raises(RoomPermission):
    error: type[Exception] = RuntimeError

    def has_permission(self, principal, room):
        raise self.error


class NotThere(Raises):
    error = ObjectDoesNotExist


class Denied(Raises):
    error = PermissionDenied


class Missing(Raises):
    error = Http404


def policy(**permissions: list[type]) -> PatternRoomPolicy:
    names: dict[type, str] = {
        cls: f"{BUILT_IN if cls in (AllowAny, IsStaff, ReadOnly) else HERE}.{cls.__name__}" for cls in ALL
    }
    return PatternRoomPolicy({f"{name}:*": [names[cls] for cls in found] for name, found in permissions.items()})


ALL = (OwnsIt, OwnsItLater, Raises, NotThere, Denied, Missing, AllowAny, IsStaff, ReadOnly)


async def answer(value: Any) -> bool:
    return await value if inspect.isawaitable(value) else value


async def test_plain_methods_are_asked_in_a_thread_and_async_ones_in_the_loop() -> None:
    rules = policy(order=[OwnsIt], later=[OwnsItLater])
    for room in ("order:7", "later:7"):
        assert await answer(rules.can_join(holder("7"), room))
        assert not await answer(rules.can_join(holder("8"), room))


async def test_all_classes_of_a_pattern_must_agree() -> None:
    rules = policy(order=[IsStaff, OwnsIt])
    assert await answer(rules.can_join(holder("7", staff=True), "order:7"))
    assert not await answer(rules.can_join(holder("7"), "order:7"))
    assert not await answer(rules.can_join(holder("8", staff=True), "order:7"))


@pytest.mark.parametrize("refusing", [NotThere, Denied, Missing])
async def test_a_room_that_is_not_there_is_refused_like_any_other(refusing) -> None:
    assert await answer(policy(order=[refusing]).can_join(holder(), "order:1")) is False
    assert await answer(policy(order=[AllowAny, refusing]).can_join(holder(), "order:1")) is False


async def test_any_other_fault_is_not_a_yes() -> None:
    with pytest.raises(RuntimeError):
        await answer(policy(order=[Raises]).can_join(holder(), "order:1"))


async def test_only_classes_that_have_a_say_are_asked_about_sending() -> None:
    rules = policy(order=[OwnsIt], later=[OwnsItLater], news=[ReadOnly])
    assert rules.can_send(holder("8"), "order:7") is True  # no thread for a message
    assert not await answer(rules.can_send(holder("7"), "later:7"))
    assert await answer(rules.can_send(holder("7", staff=True), "later:7"))
    assert rules.can_join(holder(), "news:1") is True
    assert rules.can_send(holder(), "news:1") is False
    assert rules.can_send(holder(), "other:1") is True


async def test_a_rooms_claim_narrows_what_the_classes_allow() -> None:
    rules = policy(order=[OwnsIt], open=[AllowAny])
    narrow = holder("7", rooms=("order:*",))
    assert await answer(rules.can_join(narrow, "order:7"))
    assert not await answer(rules.can_join(narrow, "order:8"))
    assert not await answer(rules.can_join(narrow, "open:1"))


def test_the_first_pattern_that_fits_decides_and_the_rest_follows_the_default_rules() -> None:
    rules = PatternRoomPolicy({"a:b:*": [f"{BUILT_IN}.IsStaff"], "a:*": [f"{BUILT_IN}.AllowAny"]})
    assert [rules.can_join(holder(), room) for room in ("a:b:1", "a:1", "admin:x", "user:7:x", "user:8:x", "x")] == [
        False, True, False, True, False, True,
    ]  # fmt: skip


def test_only_rooms_whose_classes_look_at_more_than_the_token_are_asked_again() -> None:
    rules = policy(order=[OwnsIt], news=[ReadOnly])
    assert rules.changes
    assert [rules.may_change(room) for room in ("order:1", "news:1", "x")] == [True, False, False]
    assert not policy(news=[ReadOnly]).changes


def test_the_policy_is_chosen_by_the_settings() -> None:
    assert type(build_policy(RealtimeSettings())) is RoomPolicy
    conf = build_settings({"room_permissions": {"order:*": [f"{HERE}.OwnsIt"]}})
    assert type(build_policy(conf)) is PatternRoomPolicy


@pytest.mark.parametrize("path", ["realtime.permissions.Nothing", "no.such.module", "realtime.rooms.RoomPolicy", "x"])
def test_a_path_that_is_no_permission_is_refused(path: str) -> None:
    with pytest.raises((ImportError, TypeError)):
        PatternRoomPolicy({"a:*": [path]})


@pytest.mark.parametrize("classes", ["realtime.permissions.IsStaff", [], None, 1])
def test_the_settings_want_a_list_of_classes(classes: Any) -> None:
    with pytest.raises(ValueError, match="room_permissions"):
        build_settings({"room_permissions": {"a:*": classes}})
