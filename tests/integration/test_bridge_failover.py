"""Two bridges: one works, the other is ready, and the change loses and doubles nothing that has an id (DESIGN 2.5)."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable
from typing import Self

import redis

from realtime.keys import BRIDGE_LEASE
from tests.integration.bridges import BridgeRig, rig
from tests.integration.listening import Listener
from tests.integration.programs import wait_until

__all__ = ["rig"]


class Publisher:
    """Publishes numbered messages with ids at a steady pace, in a thread, until the block ends."""

    def __init__(self, rig: BridgeRig, *, with_ids: bool = True, durable: bool = False) -> None:
        self.count = 0
        self._rig = rig
        self._with_ids = with_ids
        self._durable = durable
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        send: Callable[..., None] = self._rig.add if self._durable else self._rig.publish
        for number in itertools.count():
            if self._ending.is_set():
                return
            message = {"type": "data_update", "content": number} | ({"id": f"m{number}"} if self._with_ids else {})
            send("websocket:user:u1", message)
            self.count = number + 1
            time.sleep(0.002)

    def more(self, count: int) -> None:
        """Wait until that many more were published."""
        goal = self.count + count
        wait_until(lambda: self.count >= goal, f"{count} more messages")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._ending.set()
        self._thread.join(10)


def check(listener: Listener, count: int) -> None:
    """Every message came once, in order."""
    wait_until(lambda: listener.contents()[-1:] == [count - 1], f"message {count - 1}")
    assert listener.contents() == list(range(count))


def test_two_bridges_double_nothing(rig: BridgeRig):
    rig.start_active()
    rig.start_standby()
    with Listener(rig.valkey.url, "user.u1") as listener:
        messages = [{"type": "x", "content": n, **({"id": str(n)} if n % 2 else {})} for n in range(300)]
        rig.publish("websocket:user:u1", *messages)
        rig.publish("websocket:user:u1", b"bad")
        check(listener, 300)
    assert len(rig.wait_for_dead_letters(1)) == 1
    wait_until(
        lambda: all(report["buffered"] == 0 for report in rig.reports()),
        "the standby to forget what the active one has delivered",
    )


def test_a_killed_bridge_is_replaced_without_loss_or_doubles(rig: BridgeRig):
    active, standby = rig.start_active(), rig.start_standby()
    with Listener(rig.valkey.url, "user.u1") as listener:
        with Publisher(rig) as publisher:
            publisher.more(200)
            active.kill()
            rig.wait_for_role(standby, "active")
            publisher.more(200)
        check(listener, publisher.count)


def test_a_bridge_that_was_just_started_does_not_take_over_from_the_standby(rig: BridgeRig):
    active, _ = rig.start_active(), rig.start_standby()
    with Listener(rig.valkey.url, "user.u1") as listener:
        with Publisher(rig) as publisher:
            publisher.more(100)
            active.kill()
            rig.start()  # as a supervisor would; it listens before the lease of the dead one expires
            wait_until(lambda: rig.roles() == ["active", "standby"], "both roles")
            publisher.more(100)
        check(listener, publisher.count)


def test_a_stopped_bridge_hands_over_even_messages_without_an_id(rig: BridgeRig):
    active, standby = rig.start_active(), rig.start_standby()
    with Listener(rig.valkey.url, "user.u1") as listener:
        with Publisher(rig, with_ids=False) as publisher:
            publisher.more(200)
            assert active.terminate() == 0
            rig.wait_for_role(standby, "active")
            publisher.more(200)
        check(listener, publisher.count)


def test_a_rolling_restart_of_both_keeps_everything_in_order(rig: BridgeRig):
    bridges = [rig.start_active(), rig.start_standby()]
    with Listener(rig.valkey.url, "user.u1") as listener:
        with Publisher(rig, with_ids=False) as publisher:
            for _ in range(3):
                publisher.more(50)
                assert bridges.pop(0).terminate() == 0
                rig.wait_for_role(bridges[0], "active")
                bridges.append(rig.start_standby())
        check(listener, publisher.count)


def test_a_frozen_bridge_that_wakes_up_does_not_publish_beside_its_successor(rig: BridgeRig):
    active, standby = rig.start_active(), rig.start_standby()
    with Listener(rig.valkey.url, "user.u1") as listener:
        with Publisher(rig) as publisher:
            publisher.more(100)
            active.signal(signal.SIGSTOP)
            rig.wait_for_role(standby, "active")
            rig.publish("websocket:user:u2", {"type": "x", "content": "no id"})
            publisher.more(100)
            active.signal(signal.SIGCONT)
            rig.wait_for_role(active, "standby")
            publisher.more(100)
        check(listener, publisher.count)


def test_a_message_without_an_id_is_not_doubled_by_a_bridge_that_wakes_up(rig: BridgeRig):
    active, standby = rig.start_active(), rig.start_standby()
    with Listener(rig.valkey.url, "user.u1") as listener:
        active.signal(signal.SIGSTOP)
        rig.wait_for_role(standby, "active")
        rig.publish("websocket:user:u1", *({"type": "x", "content": n} for n in range(50)))
        active.signal(signal.SIGCONT)
        rig.wait_for_role(active, "standby")
        rig.publish("websocket:user:u1", {"type": "x", "content": 50})
        check(listener, 51)


def test_of_two_standbys_one_takes_over_and_nothing_is_doubled(rig: BridgeRig):
    active, *standbys = rig.start_active(), rig.start_standby(), rig.start_standby()
    with Listener(rig.valkey.url, "user.u1") as listener:
        with Publisher(rig, with_ids=False) as publisher:
            publisher.more(100)
            assert active.terminate() == 0
            publisher.more(100)
        check(listener, publisher.count)
    wait_until(lambda: sorted(r["role"] for r in rig.reports()) == ["active", "standby"], "one of each")
    assert all(standby.alive for standby in standbys)


def test_the_lease_changes_hands_with_a_higher_token(rig: BridgeRig):
    active, standby = rig.start_active(), rig.start_standby()
    first = rig.redis.get(BRIDGE_LEASE)
    active.kill()
    rig.wait_for_role(standby, "active")
    second = rig.redis.get(BRIDGE_LEASE)
    assert isinstance(first, bytes)
    assert isinstance(second, bytes)
    assert int(second.split()[1]) == int(first.split()[1]) + 1


def test_a_bridge_that_lost_its_subscription_alone_recovers(rig: BridgeRig):
    active = rig.start_active()
    listeners: list[dict] = rig.redis.client_list(_type="pubsub")
    for client in listeners:
        if client["psub"] != "0":
            rig.redis.client_kill_filter(_id=client["id"])
    wait_until(lambda: active.log.count("ingress subscribed") == 2, "the second subscription")
    with Listener(rig.valkey.url, "user.u1") as listener:
        rig.publish("websocket:user:u1", {"type": "x", "content": 1})
        listener.wait_for(1)


def test_both_bridges_survive_a_restart_of_redis(rig: BridgeRig):
    first, second = rig.start_active(), rig.start_standby()
    rig.valkey.kill()
    first.wait_for_log("redis link lost")
    rig.valkey.start()
    wait_until(lambda: sorted(r["role"] for r in _reports(rig)) == ["active", "standby"], "one of them to be active")
    wait_until(lambda: rig.redis.pubsub_numpat() and _subscribed(rig) == 2, "both subscriptions")
    assert first.alive
    assert second.alive
    with Listener(rig.valkey.url, "user.u1") as listener:
        rig.publish("websocket:user:u1", *({"type": "x", "content": n, "id": f"after-{n}"} for n in range(100)))
        check(listener, 100)


def _reports(rig: BridgeRig) -> list[dict]:
    try:
        return rig.reports()
    except redis.RedisError:
        return []


def _subscribed(rig: BridgeRig) -> int:
    clients: list[dict] = rig.redis.client_list(_type="pubsub")
    return sum(client["psub"] != "0" for client in clients)
