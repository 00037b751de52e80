"""What other projects use to test against us, used as they would use it."""

from __future__ import annotations

import json

import pytest
import redis

from realtime.testing import NotReceived, RealtimeGateway, own_realtime_gateway, realtime_gateway

pytestmark = pytest.mark.integration

__all__ = ["own_realtime_gateway", "realtime_gateway"]


def publish(gateway: RealtimeGateway, channel: str, **message: object) -> None:
    with redis.Redis.from_url(gateway.redis_url) as client:
        client.publish(channel, json.dumps(message))


async def test_a_service_publishes_and_a_client_expects(realtime_gateway: RealtimeGateway) -> None:
    async with realtime_gateway.connect("alice") as alice:
        publish(
            realtime_gateway, "websocket:user:alice", type="data_update", content={"entity": "order", "action": "paid"}
        )
        message = await alice.expect("data_update", content={"entity": "order"})
    assert message["content"]["action"] == "paid"


async def test_clients_talk_in_a_room_and_others_hear_nothing(realtime_gateway: RealtimeGateway) -> None:
    async with realtime_gateway.connect("ann") as ann, realtime_gateway.connect("ben") as ben:
        assert (await ann.join("testing:1"))["room"] == "testing:1"
        await ann.send("room_message", room="testing:1", content="hello")
        await ann.expect("room_message", content="hello", from_="ann")
        await ben.expect_nothing("room_message")


async def test_claims_make_staff_and_limit_rooms(realtime_gateway: RealtimeGateway) -> None:
    async with realtime_gateway.connect("root", is_staff=True) as root:
        await root.join("admin:alerts")
    async with realtime_gateway.connect("guest", rooms=["lobby:*"]) as guest:
        await guest.join("lobby:1")
        answer = await guest.request("join_room", content="chat:1")
    assert (answer["type"], answer["content"]["code"]) == ("error", 403)


async def test_what_does_not_come_fails_with_what_came_instead(realtime_gateway: RealtimeGateway) -> None:
    async with realtime_gateway.connect("carl") as carl:
        publish(realtime_gateway, "websocket:user:carl", type="system", content="something else")
        with pytest.raises(NotReceived, match="something else"):
            await carl.expect("data_update", timeout=1.0)


async def test_the_close_code_is_seen(realtime_gateway: RealtimeGateway) -> None:
    async with realtime_gateway.connect("dora", ttl=2) as dora:
        await dora.expect("error", content={"code": 401}, timeout=10)
        assert await dora.closed() == 4401


def test_a_gateway_of_ones_own_takes_settings(own_realtime_gateway: RealtimeGateway) -> None:
    assert own_realtime_gateway.redis_url.startswith("redis://127.0.0.1:")
