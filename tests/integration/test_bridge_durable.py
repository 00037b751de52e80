"""The ingress stream: delivered at least once into the gateway and once by id, whatever dies in between."""

from __future__ import annotations

import signal

from realtime.bridge.durable import GROUP
from realtime.keys import INGRESS_STREAM
from tests.integration.bridges import BridgeRig, rig
from tests.integration.listening import Listener
from tests.integration.programs import wait_until
from tests.integration.test_bridge_failover import Publisher, check

__all__ = ["rig"]


def pending(rig: BridgeRig) -> int:
    """Entries delivered to a bridge and not acknowledged."""
    return rig.redis.xpending(INGRESS_STREAM, GROUP)["pending"]


def wait_until_empty(rig: BridgeRig) -> None:
    wait_until(lambda: pending(rig) == 0 and rig.redis.xlen(INGRESS_STREAM) == 0, "an empty ingress stream")


def test_entries_written_before_any_bridge_ran_are_delivered_in_order_and_removed(rig: BridgeRig):
    with Listener(rig.valkey.url, "user.u1") as listener:
        rig.add("websocket:user:u1", *({"type": "x", "content": n} for n in range(2000)))
        rig.start_active()
        check(listener, 2000)
    wait_until_empty(rig)


def test_entries_of_every_channel_are_routed_like_published_messages(rig: BridgeRig):
    rig.start_active()
    with Listener(rig.valkey.url, "broadcast", "user.u1", "room.r1") as listener:
        for kind in ("broadcast", "user:u1", "room:r1", "notification:u1"):
            rig.add(f"websocket:{kind}", {"message": {"type": "system", "content": kind}})
        listener.wait_for(4)
        assert listener.contents() == ["broadcast", "user:u1", "room:r1", "notification:u1"]
        assert listener.messages[3]["type"] == "notification"


def test_bad_entries_go_to_the_dead_letters_and_are_removed(rig: BridgeRig):
    rig.start_active()
    rig.add("websocket:user:u1", b"bad")
    rig.redis.xadd(INGRESS_STREAM, {"something": "else"})
    letters = rig.wait_for_dead_letters(2)
    assert [letter["reason"].split(":")[0] for letter in letters] == ["json", "fields"]
    assert {letter["source"] for letter in letters} == {"stream"}
    wait_until_empty(rig)


def test_what_a_dead_bridge_left_is_claimed_and_delivered_once_in_order(rig: BridgeRig):
    # A bridge that read and died: its entries are delivered to a consumer that is gone.
    rig.add("websocket:user:u1", *({"type": "x", "content": n} for n in range(10)))
    rig.redis.xgroup_create(INGRESS_STREAM, GROUP, "0")
    assert rig.redis.xreadgroup(GROUP, "dead-bridge", {INGRESS_STREAM: ">"}, count=6)
    with Listener(rig.valkey.url, "user.u1") as listener:
        rig.start_active()
        check(listener, 10)
    wait_until_empty(rig)


def test_a_killed_bridge_loses_doubles_and_reorders_no_durable_message_even_without_ids(rig: BridgeRig):
    active = rig.start_active()
    with Listener(rig.valkey.url, "user.u1") as listener:
        with Publisher(rig, with_ids=False, durable=True) as publisher:
            for _ in range(2):
                standby = rig.start_standby()
                publisher.more(100)
                active.kill()
                rig.wait_for_role(standby, "active")
                active = standby
            publisher.more(100)
        check(listener, publisher.count)
    wait_until_empty(rig)


def test_a_frozen_bridge_holds_no_durable_message_back(rig: BridgeRig):
    active, standby = rig.start_active(), rig.start_standby()
    with Listener(rig.valkey.url, "user.u1") as listener:
        with Publisher(rig, with_ids=False, durable=True) as publisher:
            publisher.more(100)
            active.signal(signal.SIGSTOP)
            rig.wait_for_role(standby, "active")
            publisher.more(100)
            active.signal(signal.SIGCONT)
            rig.wait_for_role(active, "standby")
            publisher.more(100)
        check(listener, publisher.count)
    wait_until_empty(rig)


def test_a_message_that_was_delivered_too_often_is_given_up_as_poison(rig: BridgeRig):
    rig.add("websocket:user:u1", {"type": "x", "content": "poison"}, {"type": "x", "content": "good"})
    rig.redis.xgroup_create(INGRESS_STREAM, GROUP, "0")
    rig.redis.xreadgroup(GROUP, "crashed", {INGRESS_STREAM: ">"}, count=1)
    for _ in range(4):
        rig.redis.xreadgroup(GROUP, "crashed", {INGRESS_STREAM: "0"})
    with Listener(rig.valkey.url, "user.u1") as listener:
        rig.start_active()
        listener.wait_for(1)
        assert listener.contents() == ["good"]
    letters = rig.wait_for_dead_letters(1)
    assert letters[0]["reason"].startswith("poison")
    wait_until_empty(rig)


def test_durable_messages_outlive_a_crash_of_a_persistent_redis(rig: BridgeRig):
    rig.valkey.stop()
    rig.valkey.persist = True
    rig.valkey.start()
    bridge = rig.start_active()
    with Listener(rig.valkey.url, "user.u1") as listener:
        bridge.signal(signal.SIGSTOP)
        rig.add("websocket:user:u1", *({"type": "x", "content": n} for n in range(50)))
        rig.valkey.kill()
        rig.valkey.start()
        wait_until(lambda: listener.subscriptions == 2, "the listener's second subscription")
        bridge.signal(signal.SIGCONT)
        check(listener, 50)
    wait_until_empty(rig)


def test_a_wiped_redis_gets_its_consumer_group_back(rig: BridgeRig):
    rig.start_active()
    rig.redis.flushall()
    with Listener(rig.valkey.url, "user.u1") as listener:
        rig.add("websocket:user:u1", {"type": "x", "content": 0})
        check(listener, 1)
