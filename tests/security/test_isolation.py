"""Nobody hears what was meant for another: users and rooms with names made to be confused, driven against a model."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from realtime.groups import safe_name
from tests.integration.clients import Client
from tests.integration.stack import Stack

pytestmark = pytest.mark.integration

LOOKALIKES = [
    *("ann", "Ann", "ANN", "ann ", " ann", "ann\u00a0", "a nn", "ann\u200b", "ann\u0301", "\u0430nn", "\uff41nn"),
    *("jos\u00e9", "jose\u0301", "JOS\u00c9", "stra\u00dfe", "strasse", "\u0130", "i\u0307", "\ufb01", "fi"),
    *("a:b", "a:b:c", ":a", "a:", "a::b", "a%3Ab", "a%3ab", "ann%20", "ann+", "%61nn", "%", "%%"),
    *("x" * 80, "x" * 81, "x" * 511, "x" * 512, "X" * 512, "*", "a*", "[ab]", "?", "ann\\", "a.b", "a/b", "../a"),
    *("null", "None", "true", "0", "00", "-0", "1e3", "1000", "{}", "[]", '"ann"', "'ann'", "user.ann", "room.ann"),
    *("broadcast", "control", "websocket:broadcast", "room:ann", "\U0001f600", "\U0001f600\ufe0f", "\u202eann"),
    *(safe_name("ann "), safe_name("ann ").upper(), "hashed-name.sha256.", "ginforge__group__user.ann", "a,b", "a b"),
]
NAMES = st.sampled_from(LOOKALIKES)
FEW = st.integers(0, 7)
_numbers = itertools.count()


class World:
    """The deployment, and an event loop in a thread for its clients."""

    stack: Stack

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.redis = stack.redis()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def publish(self, channel: str, kind: str, content: Any) -> None:
        self.redis.publish(channel, json.dumps({"type": kind, "content": content}))

    def close(self) -> None:
        self.redis.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


_world: list[World] = []


@pytest.fixture(scope="module", autouse=True)
def world(tmp_path_factory: pytest.TempPathFactory, migrated_database: Any) -> Iterator[World]:
    """Two instances that keep nothing for the absent: every message is for those who are there."""
    conf = {"offline_types": [], "presence_audience": "nobody", "message_burst": 10_000}
    stack = Stack(tmp_path_factory.mktemp("stack"), migrated_database, {"REALTIME": json.dumps(conf)})
    made = World(stack.start(gateways=2))
    _world.append(made)
    try:
        yield made
    finally:
        _world.clear()
        made.close()
        stack.close()


class Peer:
    """One connection, and what the model says it must have received."""

    def __init__(self, client: Client, user: str) -> None:
        self.client = client
        self.user = user
        self.rooms: set[str] = set()
        self.expected: Counter[Any] = Counter()

    def received(self) -> Counter[Any]:
        kinds = ("chat", "room_message", "data_update", "broadcast")
        return Counter((m["type"], m["content"]) for m in self.client.of_type(*kinds))


class Isolation(RuleBasedStateMachine):
    """Everyone may connect, join, leave, send and publish; at the end everyone's inbox is compared with the model."""

    def __init__(self) -> None:
        super().__init__()
        self.world = _world[0]
        self.peers: list[Peer] = []

    # Coming and going

    @initialize(names=st.lists(NAMES, min_size=3, max_size=6))
    def some_are_there(self, names: list[str]) -> None:
        for name in names:
            self.connect(name, first=len(self.peers) % 2 == 0)

    @precondition(lambda self: len(self.peers) < 8)
    @rule(name=NAMES, first=st.booleans())
    def connect(self, name: str, first: bool) -> None:
        self.settle()
        gateway = self.world.stack.gateways[0 if first else 1]
        client = self.world.run(Client(gateway.ws(name)).open())
        assert client.messages[0]["data"]["user_id"] == name
        self.peers.append(Peer(client, name))

    @precondition(lambda self: len(self.peers) > 2)
    @rule(who=FEW)
    def disconnect(self, who: int) -> None:
        self.settle()
        peer = self.peers.pop(who % len(self.peers))
        assert peer.received() == peer.expected, peer.user
        self.world.run(peer.client.close())

    @rule(who=FEW, room=NAMES)
    def join(self, who: int, room: str) -> None:
        # What was published before is not for those who join now.
        self.settle()
        peer = self.peer(who)
        self.world.run(peer.client.join(room))
        peer.rooms.add(room)

    @rule(who=FEW, room=NAMES)
    def leave(self, who: int, room: str) -> None:
        peer = self.peer(who)
        # What is on its way to the room is still due.
        self.settle()
        assert self.world.run(peer.client.ask(type="leave_room", content=room))["type"] == "ack"
        peer.rooms.discard(room)

    # Sending

    @rule(who=FEW, to=NAMES)
    def chat(self, who: int, to: str) -> None:
        number = next(_numbers)
        assert self.ask(who, type="chat", to=to, content=number) == "ack"
        self.expect(("chat", number), [peer for peer in self.peers if peer.user == to])

    @rule(who=FEW, room=NAMES)
    def speak(self, who: int, room: str) -> None:
        number = next(_numbers)
        member = room in self.peer(who).rooms
        assert self.ask(who, type="room_message", room=room, content=number) == ("ack" if member else "error")
        if member:
            self.expect(("room_message", number), [peer for peer in self.peers if room in peer.rooms])

    @rule(who=FEW, other=FEW)
    def speak_to_those_who_are_there(self, who: int, other: int) -> None:
        for room in sorted(self.peer(other).rooms)[:1]:
            self.speak(who, room)

    @rule(to=NAMES)
    def publish_to_a_user(self, to: str) -> None:
        number = next(_numbers)
        self.world.publish(f"websocket:user:{to}", "data_update", number)
        self.expect(("data_update", number), [peer for peer in self.peers if peer.user == to])

    @rule(other=FEW)
    def publish_to_one_who_is_there(self, other: int) -> None:
        self.publish_to_a_user(self.peer(other).user)

    @rule(room=NAMES)
    def publish_to_a_room(self, room: str) -> None:
        number = next(_numbers)
        self.world.publish(f"websocket:room:{room}", "data_update", number)
        self.expect(("data_update", number), [peer for peer in self.peers if room in peer.rooms])

    # Comparing

    def peer(self, number: int) -> Peer:
        return self.peers[number % len(self.peers)]

    def ask(self, who: int, **message: Any) -> str:
        kind: str = self.world.run(self.peer(who).client.ask(**message))["type"]
        return kind

    def expect(self, message: Any, peers: list[Peer]) -> None:
        for peer in peers:
            peer.expected[message] += 1

    def settle(self) -> None:
        """Publish to everyone behind all that was sent: when that has come, so has the rest."""
        if not self.peers:
            return
        number = next(_numbers)
        self.world.publish("websocket:broadcast", "broadcast", number)
        self.expect(("broadcast", number), self.peers)
        for peer in self.peers:
            self.world.run(peer.client.until(lambda peer=peer: ("broadcast", number) in peer.received(), "the barrier"))

    @invariant()
    def nobody_was_cut(self) -> None:
        assert [peer.client.closed for peer in self.peers if peer.client.closed] == []

    def teardown(self) -> None:
        self.settle()
        try:
            for peer in self.peers:
                assert peer.received() == peer.expected, peer.user
        finally:
            for peer in self.peers:
                self.world.run(peer.client.close())


Isolation.TestCase.settings = settings(
    max_examples=12, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_everyone_hears_what_is_theirs_once_and_nothing_else(world: World) -> None:
    Isolation.TestCase().runTest()


def test_no_two_names_share_a_group() -> None:
    assert len({safe_name(name) for name in LOOKALIKES}) == len(set(LOOKALIKES)) == len(LOOKALIKES)
