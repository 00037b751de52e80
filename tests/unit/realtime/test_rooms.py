"""The default rules for rooms."""

from __future__ import annotations

import pytest

from realtime.principal import Principal
from realtime.rooms import RoomPolicy, matches, owns


def holder(user_id: str = "7", *, staff: bool = False, rooms: tuple[str, ...] | None = None) -> Principal:
    return Principal(user_id, "Ann", staff, None, 2e9, rooms)


@pytest.mark.parametrize(
    ("room", "who", "allowed"),
    [
        ("chat:room001", holder(), True),
        ("lobby", holder(), True),
        ("admin:ops", holder(), False),
        ("admin:ops", holder(staff=True), True),
        ("administration", holder(), True),
        ("ADMIN:ops", holder(), True),
        ("user:7:inbox", holder(), True),
        ("user:8:inbox", holder(), False),
        ("user:7", holder(), False),
        ("user:77:inbox", holder(), False),
        ("user:8:inbox", holder(staff=True), False),
        ("user:a:b:x", holder("a:b"), False),
    ],
)
def test_without_a_claim_only_the_reserved_prefixes_are_closed(room, who, allowed):
    assert RoomPolicy().can_join(who, room) is allowed


@pytest.mark.parametrize(
    ("room", "allowed"),
    [
        ("chat:1", True),
        ("chat:1:2", True),
        ("chat", False),
        ("Chat:1", False),
        ("lobby", False),
        ("admin:ops", True),
        ("x", False),
    ],
)
def test_a_rooms_claim_opens_these_rooms_and_no_others(room, allowed):
    assert RoomPolicy().can_join(holder(rooms=("chat:*", "admin:ops")), room) is allowed


def test_an_empty_claim_opens_nothing():
    assert RoomPolicy().can_join(holder(staff=True, rooms=()), "lobby") is False


def test_patterns_are_globs_over_the_whole_name():
    assert matches(("r?[ab]*",), "r1b:\n:x")
    assert not matches(("r?[ab]",), "r1bx")
    assert not matches(("a.c",), "abc")


def test_an_id_with_a_colon_owns_no_room():
    assert not owns("a:b", "user:a:b:x")
    assert not owns("", "user::x:y") or owns("", "user::x:y")


def test_members_may_send():
    assert RoomPolicy().can_send(holder(), "lobby") is True
