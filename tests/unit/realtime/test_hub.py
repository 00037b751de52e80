"""Gateway processes against a real Valkey: connect, send, lose Redis, be cut, and leave nothing behind."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, ClassVar

import pytest

from realtime import keys
from realtime.auth.tokens import InvalidToken
from realtime.codes import CloseCode, RealtimeError
from realtime.connection import Connection
from realtime.groups import BROADCAST, CONTROL, room_group, user_group
from realtime.hub import Hub
from realtime.layer import MESSAGE
from realtime.registry import OfflineMessage, message_type, register_offline_store, unregister
from realtime.rooms import RoomPolicy
from tests.unit.realtime.conftest import eventually
from tests.unit.realtime.doubles import RecordingSocket, holder

pytestmark = pytest.mark.usefixtures("without_offline_store")


class Client:
    """A client on a recording socket of one hub."""

    def __init__(self, hub: Hub, user_id: str = "7", **claims: Any) -> None:
        self.hub = hub
        self.socket = RecordingSocket()
        self.connection: Connection = hub.attach(self.socket, holder(user_id, **claims), "10.0.0.1:5")

    async def connect(self, *, resume: bool = False) -> Client:
        await self.hub.connect(self.connection, resume=resume)
        return self

    def send(self, **message: Any) -> None:
        self.socket.receiver(json.dumps(message).encode())

    async def ask(self, **message: Any) -> dict[str, Any]:
        """Send a message with an id and return its ``ack`` or ``error``."""
        wanted = message.setdefault("id", f"q{len(self.socket.frames)}")
        self.send(**message)
        return await eventually(
            lambda: next(
                (m for m in self.socket.messages if m.get("id") == wanted and m["type"] in ("ack", "error")), None
            )
        )

    async def join(self, room: str = "r") -> dict[str, Any]:
        answer = await self.ask(type="join_room", content=room)
        assert answer["type"] == "ack", answer
        return answer["content"]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return self.socket.of_type(kind)

    def contents(self, kind: str) -> list[Any]:
        return [message["content"] for message in self.of_type(kind)]

    def position(self, *names: str) -> dict[str, Any]:
        return {name: self.of_type("welcome")[0]["data"]["streams"][name] for name in names}

    def leave(self) -> None:
        self.hub.disconnect(self.connection)


async def publish(hub: Hub, group: str, content: Any, kind: str = "system", **more: Any) -> Any:
    text = json.dumps({"type": kind, "content": content, "timestamp": 1, "data": {}, **more}, separators=(",", ":"))
    return await hub.layer.group_send(group, {"type": MESSAGE, "text": text})


# Connecting


async def test_welcome_comes_first_and_tells_the_positions(valkey, make_hub):
    hub = await make_hub(valkey)
    await publish(hub, BROADCAST, 1)
    client = await Client(hub).connect()
    welcome = client.socket.messages[0]
    assert welcome["type"] == "welcome"
    assert welcome["content"]["code"] == 0
    assert welcome["data"]["streams"]["broadcast"]["offset"] == 1
    assert welcome["data"]["streams"]["user"]["offset"] == 0
    assert welcome["data"]["node"] == hub.node


async def test_messages_published_while_connecting_come_after_welcome_or_lie_before_its_position(valkey, make_hub):
    hub = await make_hub(valkey)
    publishing = [asyncio.ensure_future(publish(hub, user_group("7"), n)) for n in range(50)]
    clients = [Client(hub) for _ in range(20)]
    connecting = [asyncio.ensure_future(client.connect()) for client in clients]
    publishing += [asyncio.ensure_future(publish(hub, user_group("7"), n)) for n in range(50, 200)]
    await asyncio.gather(*publishing, *connecting)
    for client in clients:
        await eventually(lambda client=client: client.contents("system")[-1:] == [199])
        first, *rest = client.socket.messages
        assert first["type"] == "welcome"
        offsets = [m["data"]["stream"]["offset"] for m in rest if m["type"] == "system"]
        assert offsets == list(range(first["data"]["streams"]["user"]["offset"] + 1, 201))


async def test_what_a_client_sends_before_welcome_is_answered_after_it(valkey, make_hub):
    client = Client(await make_hub(valkey))
    client.send(type="ping", id=1)
    client.send(type="join_room", content="r", id=2)
    client.send(type="room_message", room="r", content="x", id=3)
    await client.connect()
    await eventually(lambda: len(client.of_type("ack")) == 2)
    assert [m.get("id") for m in client.socket.messages if m["type"] in ("welcome", "pong", "ack")] == [None, 1, 2, 3]


async def test_a_revoked_token_is_refused(valkey, make_hub, store):
    hub = await make_hub(valkey)
    store.set(keys.revoked_token("j1"), "1")
    with pytest.raises(InvalidToken):
        await Client(hub, jti="j1").connect()
    store.set(keys.revoked_user("8"), str(int(time.time())))
    with pytest.raises(InvalidToken):
        await Client(hub, "8", issued_at=time.time() - 10).connect()


async def test_without_redis_a_connect_fails_in_time(own_valkey, make_hub):
    hub = await make_hub(own_valkey, redis_connect_timeout=0.3, redis_timeout=1.0)
    own_valkey.stop()
    await eventually(lambda: not hub.ready)
    client = Client(hub)
    async with asyncio.timeout(10):
        with pytest.raises((RealtimeError, TimeoutError)):
            await client.connect()
    client.leave()
    assert hub.connections == {}


async def test_a_client_that_goes_while_it_connects_does_not_stay_online(valkey, make_hub, store):
    hub = await make_hub(valkey, presence_grace=0.1)
    client = Client(hub)
    connecting = asyncio.ensure_future(client.connect())
    await asyncio.sleep(0)
    connecting.cancel()
    await asyncio.wait({connecting})
    client.leave()
    await eventually(lambda: store.hlen(keys.PRESENCE_USERS) == 0 and not hub.presence._users)
    assert hub.streams.get(user_group("7")) is None


async def test_everything_is_given_back_when_the_last_client_leaves(valkey, make_hub, store):
    hub = await make_hub(valkey, presence_grace=0.1)
    clients = [await Client(hub, str(n % 5), staff=True).connect() for n in range(20)]
    for client in clients:
        await client.join("a")
        await client.join("b:c")
    await eventually(lambda: store.hlen(keys.PRESENCE_ROOMS) == 2)
    for client in clients:
        client.leave()
        client.leave()
    assert (hub.connections, hub.staff, hub.users, hub.rooms) == ({}, {}, 0, 0)
    assert [stream.group for stream in hub.streams.all()] == [BROADCAST]
    await eventually(lambda: not store.exists(keys.PRESENCE_USERS, keys.PRESENCE_ROOMS))


# Chat and rooms over two processes


async def test_chat_reaches_every_device_of_the_user_on_every_process(valkey, make_hub):
    one, other = await make_hub(valkey), await make_hub(valkey)
    sender = await Client(one, "1", username="Ann").connect()
    devices = [await Client(one, "2").connect(), await Client(other, "2").connect()]
    stranger = await Client(other, "3").connect()
    answer = await sender.ask(type="chat", to="2", content="hi")
    assert answer["type"] == "ack"
    for device in devices:
        (message,) = await eventually(lambda device=device: device.of_type("chat"))
        assert (message["content"], message["from"], message["from_name"], message["to"]) == ("hi", "1", "Ann", "2")
        assert message["data"]["stream"]["name"] == "user"
    assert stranger.of_type("chat") == sender.of_type("chat") == []


async def test_a_room_message_reaches_every_member_the_sender_too_and_nobody_else(valkey, make_hub):
    one, other = await make_hub(valkey), await make_hub(valkey)
    members = [await Client(one, "1").connect(), await Client(other, "2").connect()]
    outsider = await Client(other, "3").connect()
    for member in members:
        assert (await member.join("chat:room001"))["stream"]["name"] == "room:chat:room001"
    answer = await members[0].ask(type="room_message", room="chat:room001", content="hi")
    assert answer["content"]["stream"]["offset"] == 1
    for member in members:
        (message,) = await eventually(lambda member=member: member.of_type("room_message"))
        assert (message["room"], message["from"], message["content"]) == ("chat:room001", "1", "hi")
    assert outsider.of_type("room_message") == []
    refused = await outsider.ask(type="room_message", room="chat:room001", content="hi")
    assert refused["content"]["code"] == 403


async def test_who_left_a_room_hears_and_sends_nothing_more(valkey, make_hub):
    hub = await make_hub(valkey)
    one, other = await Client(hub, "1").connect(), await Client(hub, "2").connect()
    await one.join()
    await other.join()
    assert (await one.ask(type="leave_room", content="r"))["content"] == {"room": "r"}
    assert (await one.ask(type="leave_room", content="never-there"))["type"] == "ack"
    assert (await one.ask(type="room_message", room="r", content="x"))["content"]["code"] == 403
    await other.ask(type="room_message", room="r", content="y")
    await eventually(lambda: other.contents("room_message") == ["y"])
    assert one.of_type("room_message") == []


async def test_a_message_repeated_with_its_id_is_delivered_once_and_acknowledged_again(valkey, make_hub):
    hub = await make_hub(valkey)
    one, other = await Client(hub, "1").connect(), await Client(hub, "2").connect()
    for _ in range(2):
        one.send(type="chat", to="2", content="hi", id="m1")
    await eventually(lambda: len(one.of_type("ack")) == 2)
    assert other.contents("chat") == ["hi"]


async def test_reserved_rooms_and_the_rooms_claim_are_kept(valkey, make_hub):
    hub = await make_hub(valkey)
    plain, staff = await Client(hub, "1").connect(), await Client(hub, "2", staff=True).connect()
    limited = await Client(hub, "3", rooms=("team:*",)).connect()
    for client, room, code in (
        (plain, "admin:ops", 403), (plain, "user:2:x", 403), (plain, "user:1:x", None), (staff, "admin:ops", None),
        (limited, "team:a:b", None), (limited, "lobby", 403),
    ):  # fmt: skip
        answer = await client.ask(type="join_room", content=room)
        assert (answer["content"].get("code"), answer["type"]) == (code, "error" if code else "ack")


class SlowPolicy(RoomPolicy):
    """Asks somebody else, who takes a while; ``shut`` names rooms closed since."""

    shut: ClassVar[set[str]] = set()
    broken = False

    async def can_join(self, principal, room):
        await asyncio.sleep(0.01)
        if self.broken:
            raise RuntimeError("the database is away")
        return room not in self.shut

    async def can_send(self, principal, room):
        await asyncio.sleep(0.01)
        return room != "read-only"


@pytest.fixture
def slow_policy():
    yield SlowPolicy
    SlowPolicy.shut, SlowPolicy.broken = set(), False


async def test_a_policy_may_take_its_time_and_the_clients_messages_keep_their_order(valkey, make_hub, slow_policy):
    hub = await make_hub(valkey, room_policy=f"{__name__}.SlowPolicy")
    client = await Client(hub).connect()
    client.send(type="join_room", content="r", id=1)
    client.send(type="room_message", room="r", content="x", id=2)
    client.send(type="ping", id=3)
    await eventually(lambda: len(client.of_type("ack")) == 2)
    assert [message["id"] for message in client.of_type("ack")] == [1, 2]
    await client.join("read-only")
    assert (await client.ask(type="room_message", room="read-only", content="x"))["content"]["code"] == 403


async def test_a_policy_that_fails_is_a_500_and_lets_nobody_in(valkey, make_hub, slow_policy):
    hub = await make_hub(valkey, room_policy=f"{__name__}.SlowPolicy")
    client = await Client(hub).connect()
    slow_policy.broken = True
    assert (await client.ask(type="join_room", content="r"))["content"]["code"] == 500
    assert (await client.ask(type="room_message", room="r", content="x"))["content"]["code"] == 403


async def test_a_recheck_takes_out_who_may_no_longer_be_in_and_says_so(valkey, make_hub, slow_policy):
    hub = await make_hub(valkey, room_policy=f"{__name__}.SlowPolicy")
    client = await Client(hub).connect()
    await client.join("a")
    await client.join("b")
    slow_policy.shut = {"a"}
    await hub.layer.group_send(CONTROL, {"type": "realtime.control", "op": "recheck", "user_id": "7"})
    error = (await eventually(lambda: client.of_type("error")))[0]
    assert error["content"]["code"] == 403
    assert set(client.connection.session.rooms or ()) == {"b"}


async def test_a_client_that_goes_while_a_policy_thinks_does_not_stay_in_the_room(valkey, make_hub, slow_policy):
    hub = await make_hub(valkey, room_policy=f"{__name__}.SlowPolicy")
    member, client = await Client(hub, "1").connect(), await Client(hub, "2").connect()
    await member.join("a")
    client.send(type="join_room", content="a")
    client.leave()
    other = await Client(hub, "3").connect()
    other.send(type="resume", content={"streams": {"room:a": {"epoch": "x", "offset": 0}}})
    await asyncio.sleep(0)
    other.leave()
    await asyncio.sleep(0.2)
    stream = hub.streams.get(room_group("a"))
    assert stream is not None
    assert list(stream.members) == [member.connection]


# Resume


async def test_resume_replays_what_was_missed_on_every_stream_in_order_and_then_goes_on(valkey, make_hub):
    hub = await make_hub(valkey)
    first = await Client(hub).connect()
    room = await first.join("r")
    positions = {**first.position("user", "broadcast"), "room:r": {k: room["stream"][k] for k in ("epoch", "offset")}}
    first.leave()
    for n in range(50):
        for group in (user_group("7"), BROADCAST, room_group("r")):
            await publish(hub, group, n)
    again = await Client(hub).connect(resume=True)
    await publish(hub, user_group("7"), 50)
    again.send(type="resume", content={"streams": positions}, id="r1")
    await eventually(lambda: again.of_type("resumed"))
    await publish(hub, room_group("r"), 50)
    await publish(hub, BROADCAST, 50)
    await eventually(lambda: len(again.of_type("system")) == 153)
    (resumed,) = again.of_type("resumed")
    results = resumed["content"]["streams"]
    assert resumed["id"] == "r1"
    assert [(results[name]["recovered"], results[name]["count"]) for name in ("broadcast", "room:r")] == [
        (True, 50)
    ] * 2
    assert results["user"]["recovered"] is True
    for name in ("user", "broadcast", "room:r"):
        offsets = [
            m["data"]["stream"]["offset"] for m in again.of_type("system") if m["data"]["stream"]["name"] == name
        ]
        assert offsets == list(range(1, 52)), name
    kinds = [message["type"] for message in again.socket.messages]
    assert kinds.index("resumed") < kinds.index("system")


async def test_a_resume_under_fire_loses_and_doubles_nothing(valkey, make_hub):
    one, other = await make_hub(valkey, history_size=100_000), await make_hub(valkey, history_size=100_000)
    keeper = await Client(one, "9").connect()
    await keeper.join("r")
    position = (await keeper.ask(type="join_room", content="r"))["content"]["stream"]
    stop = asyncio.Event()
    sent = 0

    async def fire() -> None:
        nonlocal sent
        while not stop.is_set():
            await asyncio.gather(*[publish(other, room_group("r"), sent + n) for n in range(5)])
            sent += 5
            await asyncio.sleep(0)

    firing = asyncio.ensure_future(fire())
    clients = []
    for n in range(20):
        client = await Client(one, str(100 + n)).connect(resume=n % 2 == 0)
        client.send(type="resume", content={"streams": {"room:r": {k: position[k] for k in ("epoch", "offset")}}})
        clients.append(client)
        await asyncio.sleep(0.005)
    await eventually(lambda: all(client.of_type("resumed") for client in clients))
    stop.set()
    await firing
    for client in clients:
        result = client.of_type("resumed")[0]["content"]["streams"]["room:r"]
        await eventually(
            lambda client=client: (
                client.of_type("system") and client.of_type("system")[-1]["data"]["stream"]["offset"] == sent
            )
        )
        offsets = [m["data"]["stream"]["offset"] for m in client.of_type("system")]
        assert result["recovered"], result
        assert offsets == list(range(1, sent + 1))


async def test_a_history_that_is_gone_is_said_and_the_room_is_joined_all_the_same(valkey, make_hub, store):
    hub = await make_hub(valkey)
    await publish(hub, room_group("r"), 0)
    client = await Client(hub).connect()
    client.send(type="resume", content={"streams": {"room:r": {"epoch": "gone", "offset": 3}}})
    (resumed,) = await eventually(lambda: client.of_type("resumed"))
    result = resumed["content"]["streams"]["room:r"]
    assert (result["recovered"], result["count"], result["offset"]) == (False, 0, 1)
    await publish(hub, room_group("r"), 1)
    await eventually(lambda: client.contents("system") == [1])


async def test_a_room_that_is_closed_to_the_client_is_an_error_in_the_answer(valkey, make_hub):
    hub = await make_hub(valkey)
    client = await Client(hub).connect()
    at = {"epoch": "x", "offset": 0}
    client.send(type="resume", content={"streams": {"room:admin:ops": at, "user": client.position("user")["user"]}})
    (resumed,) = await eventually(lambda: client.of_type("resumed"))
    streams = resumed["content"]["streams"]
    assert streams["room:admin:ops"]["error"]["code"] == 403
    assert (streams["room:admin:ops"]["recovered"], streams["room:admin:ops"]["count"]) == (False, 0)
    assert streams["user"]["recovered"] is True
    await publish(hub, room_group("admin:ops"), 1)
    await publish(hub, user_group("7"), 2)
    await eventually(lambda: client.contents("system") == [2])


async def test_live_messages_wait_for_an_announced_resume_but_not_for_ever(valkey, make_hub, monkeypatch):
    monkeypatch.setattr("realtime.hub._RESUME_WAIT", 0.3)
    hub = await make_hub(valkey)
    client = await Client(hub).connect(resume=True)
    await publish(hub, user_group("7"), 1)
    assert client.of_type("system") == []
    await eventually(lambda: client.contents("system") == [1])


# Losing Redis


async def test_sockets_stay_while_redis_is_away_and_delivery_resumes_by_itself(own_valkey, make_hub):
    hub = await make_hub(own_valkey)
    client = await Client(hub).connect()
    await client.join("r")
    own_valkey.stop()
    await eventually(lambda: not hub.ready)
    client.send(type="ping", id="p")
    assert client.of_type("pong")
    for message in ({"type": "chat", "to": "1"}, {"type": "room_message", "room": "r"}):
        assert (await client.ask(content="x", **message))["content"]["code"] == 503
    assert (await client.ask(type="join_room", content="new"))["content"]["code"] == 503
    assert (await client.ask(type="leave_room", content="unknown"))["type"] == "ack"
    own_valkey.start()
    await eventually(lambda: hub.ready)
    assert (await client.ask(type="join_room", content="new"))["type"] == "ack"
    await publish(hub, room_group("r"), "back")
    await publish(hub, BROADCAST, "all")
    await eventually(lambda: set(client.contents("system")) == {"back", "all"})
    assert client.socket.closed is None


async def test_members_are_told_when_a_restart_has_lost_the_history(own_valkey, make_hub):
    hub = await make_hub(own_valkey)
    client = await Client(hub).connect()
    await publish(hub, user_group("7"), 1)
    own_valkey.kill()
    own_valkey.start()
    await eventually(lambda: any("user" in m["content"]["streams"] for m in client.of_type("resumed")))
    result = next(m for m in client.of_type("resumed") if "user" in m["content"]["streams"])["content"]["streams"][
        "user"
    ]
    assert (result["recovered"], result["count"], result["offset"]) == (False, 0, 0)


async def test_a_resume_after_a_restart_repeats_nothing_that_was_delivered_live(own_valkey, make_hub):
    hub = await make_hub(own_valkey)
    client = await Client(hub).connect()
    await client.join("r")
    for n in range(5):
        for group in (user_group("7"), BROADCAST, room_group("r")):
            await publish(hub, group, n)
    left = await Client(hub).connect()
    await left.join("r")
    own_valkey.kill()
    own_valkey.start()
    await eventually(lambda: len(left.of_type("resumed")) >= 3 and hub.ready)
    for group in (user_group("7"), BROADCAST, room_group("r")):
        for n in (1, 2, 3):
            await publish(hub, group, n)
    await eventually(lambda: len(left.of_type("system")) == 9)
    begun = {m["data"]["stream"]["name"]: m["data"]["stream"] for m in left.of_type("system") if m["content"] == 1}
    left.send(type="resume", content={"streams": begun}, id="r")
    await eventually(lambda: any(m.get("id") == "r" for m in left.of_type("resumed")))
    await asyncio.sleep(0.1)
    assert len(left.of_type("system")) == 9


async def test_messages_published_while_the_link_is_cut_are_fetched_from_the_history(valkey, make_hub, store):
    one, other = await make_hub(valkey), await make_hub(valkey)
    client = await Client(one).connect()
    await publish(other, user_group("7"), 0)
    await eventually(lambda: client.contents("system") == [0])
    for round_ in range(3):
        assert one.layer.shards[0]._link is not None
        writer = one.layer.shards[0]._link._writer
        assert writer is not None
        writer.transport.abort()
        for n in range(20):
            await publish(other, user_group("7"), round_ * 20 + n + 1)
        await eventually(lambda: one.ready)
    await eventually(lambda: len(client.of_type("system")) == 61)
    assert client.contents("system") == list(range(61))


# Being cut


async def test_an_expired_token_cuts_the_connection_within_two_seconds(valkey, make_hub):
    hub = await make_hub(valkey)
    client = await Client(hub, expires_at=time.time() + 0.5).connect()
    await eventually(lambda: client.socket.closed)
    assert client.connection.principal.expires_at <= time.time() <= client.connection.principal.expires_at + 2
    assert client.socket.closed is not None
    assert client.socket.closed[0] == CloseCode.UNAUTHORIZED
    assert client.of_type("error")[-1]["content"]["code"] == 401


@pytest.mark.parametrize("target", ["user_id", "client_id", "jti"])
async def test_staff_can_cut_a_user_a_client_or_a_token_on_any_process(valkey, make_hub, target):
    one, other = await make_hub(valkey), await make_hub(valkey)
    victim = await Client(one, "7", jti="j7").connect()
    bystander = await Client(one, "8", jti="j8").connect()
    value = {"user_id": "7", "client_id": victim.connection.client_id, "jti": "j7"}[target]
    event = {"type": "realtime.control", "op": "disconnect", target: value, "code": 4403, "reason": "no"}
    await other.layer.group_send(CONTROL, event)
    await eventually(lambda: victim.socket.closed)
    assert victim.socket.closed == (4403, "no")
    assert bystander.socket.closed is None


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"op": "nonsense"},
        {"op": "disconnect", "code": "x"},
        {"op": "disconnect"},
        {"op": "connections"},
        {"op": "connections", "reply_to": None, "limit": "x"},
    ],
)
async def test_a_control_event_that_makes_no_sense_harms_nobody(valkey, make_hub, event):
    hub = await make_hub(valkey)
    client = await Client(hub).connect()
    await hub.layer.group_send(CONTROL, {"type": "realtime.control", **event})
    await publish(hub, user_group("7"), "still here")
    await eventually(lambda: client.contents("system") == ["still here"])
    assert client.socket.closed is None


async def test_a_process_lists_its_connections_on_request(valkey, make_hub, store):
    hub = await make_hub(valkey)
    client = await Client(hub).connect()
    await client.join("r")
    await Client(hub, "8").connect()
    await hub.layer.group_send(
        CONTROL, {"type": "realtime.control", "op": "connections", "reply_to": "answer", "room": "r"}
    )
    (row,) = json.loads(await eventually(lambda: store.lpop("answer")))
    assert (row["user_id"], row["rooms"], row["address"], row["node"]) == ("7", ["r"], "10.0.0.1:5", hub.node)


async def test_a_flood_is_closed_with_4429(valkey, make_hub):
    client = await Client(await make_hub(valkey)).connect()
    for _ in range(700):
        client.send(type="ping")
    assert client.socket.closed is not None
    assert client.socket.closed[0] == CloseCode.RATE


# Who is told, and who is away


async def test_users_hear_of_each_other_and_of_themselves(valkey, make_hub):
    one, other = await make_hub(valkey, presence_grace=0.2), await make_hub(valkey, presence_grace=0.2)
    watcher = await Client(one, "1").connect()
    await eventually(lambda: watcher.contents("user_status"))
    guest = await Client(other, "2", username="Bob").connect()
    await eventually(lambda: len(watcher.contents("user_status")) == 2)
    guest.leave()
    await eventually(lambda: len(watcher.contents("user_status")) == 3)
    assert [(s["user_id"], s["user_name"], s["status"]) for s in watcher.contents("user_status")] == [
        ("1", "Ann", "online"), ("2", "Bob", "online"), ("2", "Bob", "offline"),
    ]  # fmt: skip


async def test_only_staff_hear_of_presence_when_the_setting_says_so(valkey, make_hub):
    hub = await make_hub(valkey, presence_audience="staff")
    staff, plain = await Client(hub, "1", staff=True).connect(), await Client(hub, "2").connect()
    await Client(hub, "3").connect()
    await eventually(lambda: {s["user_id"] for s in staff.contents("user_status")} >= {"3"})
    assert plain.contents("user_status") == []


class Store:
    """Keeps what is stored in memory."""

    def __init__(self) -> None:
        self.kept: list[OfflineMessage] = []

    def store(self, messages):
        self.kept.extend(messages)

    def pending(self, user_ids):
        return {u: [m for m in self.kept if m.user_id == u] for u in user_ids}

    def mark_delivered(self, messages):
        self.kept = [message for message in self.kept if message not in messages]


@pytest.mark.django_db(transaction=True)  # the hub's database thread looks at its connections, the store has none
async def test_chat_for_a_user_who_is_away_is_kept_and_comes_right_after_welcome(valkey, make_hub):
    store = Store()
    register_offline_store(store)
    hub = await make_hub(valkey, offline_flush=0.02)
    sender = await Client(hub, "1").connect()
    for n in range(3):
        assert (await sender.ask(type="chat", to="2", content=n))["type"] == "ack"
    await eventually(lambda: len(store.kept) == 3)
    devices = [Client(hub, "2"), Client(hub, "2")]
    await asyncio.gather(*[device.connect() for device in devices])
    await sender.ask(type="chat", to="2", content="live")
    for device in devices:
        await eventually(lambda device=device: device.contents("chat") == [0, 1, 2, "live"])
        assert device.socket.messages[0]["type"] == "welcome"
    await eventually(lambda: store.kept == [])
    later = await Client(hub, "2").connect()
    await later.ask(type="chat", to="2", content="again")
    await eventually(lambda: later.contents("chat") == ["again"])


async def test_a_store_that_fails_or_is_slow_does_not_keep_live_messages_back(valkey, make_hub):
    class Broken(Store):
        def pending(self, user_ids):
            raise RuntimeError("the database is away")

    register_offline_store(Broken())
    hub = await make_hub(valkey)
    client = await Client(hub).connect()
    await publish(hub, user_group("7"), 1)
    await eventually(lambda: client.contents("system") == [1])


# Types of other apps


async def test_a_type_of_another_app_answers_sends_and_refuses(valkey, make_hub):
    @message_type("order.watch")
    async def watch(context):
        context.reply("order.state", {"rooms": sorted(context.rooms), "who": context.principal.user_id})
        await context.send_to_user("8", "order.watched", context.message.content, {"by": context.client_id})
        await context.send_to_room("r", "order.room", 1)
        await context.broadcast("order.all", 2)
        return {"watching": True}

    try:
        hub = await make_hub(valkey)
        client, other = await Client(hub).connect(), await Client(hub, "8").connect()
        await client.join("r")
        answer = await client.ask(type="order.watch", content={"n": 5})
        assert (answer["type"], answer["content"]) == ("ack", {"watching": True})
        assert client.contents("order.state") == [{"rooms": ["r"], "who": "7"}]
        (message,) = await eventually(lambda: other.of_type("order.watched"))
        assert (message["content"], message["from"], message["to"]) == ({"n": 5}, "7", "8")
        assert message["data"]["by"] == client.connection.client_id
        await eventually(lambda: client.contents("order.room") == [1] and other.contents("order.all") == [2])
    finally:
        unregister("order.watch")
