"""Door: sockets of this process, in all and per address."""

from __future__ import annotations

import pytest

from realtime.codes import LimitReached
from realtime.conf import RealtimeSettings
from realtime.door import Door


def reached(door: Door, host: str) -> str:
    with pytest.raises(LimitReached) as caught:
        door.enter(host)
    return caught.value.limit


def test_one_more_than_the_process_takes_is_refused_until_one_leaves() -> None:
    door = Door(RealtimeSettings(max_connections=2))
    first, _ = door.enter("192.0.2.1"), door.enter("192.0.2.2")
    assert reached(door, "192.0.2.3") == "connections"
    assert door.full
    door.leave(first)
    door.enter("192.0.2.3")


def test_each_address_has_its_own_count() -> None:
    door = Door(RealtimeSettings(max_address_connections=1))
    name = door.enter("192.0.2.1")
    assert reached(door, "192.0.2.1") == "address_connections"
    door.enter("192.0.2.2")
    door.enter("2001:db8::1")
    door.leave(name)
    door.enter("192.0.2.1")


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "::1", "::ffff:10.0.0.1", "fd00::1", ""])
def test_proxies_speak_for_many_clients(host: str) -> None:
    door = Door(RealtimeSettings(max_address_connections=1))
    for _ in range(3):
        door.enter(host)
    assert door.sockets == 3


@pytest.mark.parametrize("host", ["172.32.0.1", "::ffff:192.0.2.1", "nonsense", "11.0.0.1"])
def test_the_rest_of_the_world_does_not(host: str) -> None:
    door = Door(RealtimeSettings(max_address_connections=1))
    door.enter(host)
    assert reached(door, host) == "address_connections"


def test_nothing_is_remembered_of_those_who_left() -> None:
    door = Door(RealtimeSettings(max_address_connections=5))
    for number in range(100):
        door.leave(door.enter(f"192.0.2.{number}"))
    assert (door.sockets, door._addresses) == (0, {})


def test_zero_means_no_limit() -> None:
    door = Door(RealtimeSettings(max_address_connections=0, max_connections=0))
    for _ in range(100):
        door.enter("192.0.2.1")
    assert not door.full
