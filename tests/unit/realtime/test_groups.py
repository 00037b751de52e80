"""Group names: safe for any user id and room, and never the same for two."""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from realtime.groups import BROADCAST, CONTROL, room_group, safe_name, user_group

SAFE = re.compile(r"[A-Za-z0-9_.-]{1,99}", re.ASCII)


def fuzzed_names(count: int, seed: int = 7) -> set[str]:
    """Names made to collide: case, Unicode forms, colons, percent signs, length, and what looks like a hash."""
    pick = random.Random(seed)
    pieces = [
        *"abAB01._-:%/\\ {}*?[]'\"", "é", "e\u0301", "ﬁ", "fi", "ß", "SS", "日本", "🦊", "İ", "i\u0307", "\u200d",
        "%3A", "%25", "user", "room", "hashed-name.sha256.", hashlib.sha256(b"a").hexdigest(), "\u2028", "０",
        "Å", "\u212b",
    ]  # fmt: skip
    names: set[str] = set()
    while len(names) < count:
        name = "".join(pick.choices(pieces, k=pick.choice((1, 2, 3, 5, 8, 20, 79, 80, 81))))[:512]
        names |= {
            name,
            name.upper(),
            name.lower(),
            unicodedata.normalize("NFC", name),
            unicodedata.normalize("NFD", name),
        }
        names |= {safe_name(name), user_group(name), name + ":", ":" + name}
    return {name for name in names if 0 < len(name) <= 512}


def test_ten_thousand_fuzzed_names_give_as_many_safe_groups():
    names = fuzzed_names(10_000)
    groups = {group(name) for name in names for group in (user_group, room_group)}
    assert len(groups) == 2 * len(names)
    assert all(SAFE.fullmatch(group) for group in groups)
    assert not groups & {BROADCAST, CONTROL}


@given(st.text(min_size=1), st.text(min_size=1))
def test_two_names_share_a_group_only_when_they_are_equal(one, other):
    assert (user_group(one) == user_group(other)) == (one == other)
    assert user_group(one) != room_group(other)


@given(st.text(min_size=1))
def test_a_name_cannot_pose_as_the_hash_of_another(name):
    assert safe_name(safe_name(name)) != safe_name(name) or safe_name(name) == name


def test_plain_names_stay_readable():
    assert user_group("42") == "user.42"
    assert room_group("lobby-1.a_b") == "room.lobby-1.a_b"
    assert room_group("x" * 80) == "room." + "x" * 80


def test_a_newline_at_the_end_does_not_slip_through():
    assert safe_name("abc\n") != "abc\n"
    assert SAFE.fullmatch(safe_name("abc\n"))
