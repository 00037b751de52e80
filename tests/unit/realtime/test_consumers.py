"""The consumer under Channels' own test client: any ASGI server will do."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.conf import settings as django_settings

from realtime import hub as hub_module
from realtime.codes import ErrorCode, ProtocolError
from realtime.groups import user_group
from realtime.layer import MESSAGE
from realtime.registry import message_type, unregister
from realtime.routing import application, urlpatterns
from tests.unit.realtime.conftest import eventually


def make_token(user_id: str = "7", **claims: Any) -> str:
    """Mint a token that the project's settings accept."""
    payload = {"token_type": "access", "user_id": user_id, "exp": time.time() + 60, **claims}
    return jwt.encode(payload, django_settings.SIMPLE_JWT["SIGNING_KEY"], algorithm="HS256")


@pytest.fixture
async def hub(valkey, make_hub, monkeypatch, without_offline_store) -> Any:
    """Give a hub that ``get_hub`` finds in this loop."""
    made = await make_hub(valkey, presence_grace=0.1, presence_audience="nobody")
    monkeypatch.setattr("realtime.consumers.get_hub", lambda: made)
    monkeypatch.setattr(hub_module, "get_hub", lambda: made)
    return made


def client(
    path: str = "", *, app: Any = application, headers: list[tuple[bytes, bytes]] | None = None, **options: Any
) -> Any:
    return WebsocketCommunicator(app, path or f"/ws?token={make_token()}", headers=headers, **options)


async def receive(communicator: WebsocketCommunicator, kind: str) -> dict[str, Any]:
    """Return the next message of a type."""
    while True:
        message = json.loads(await communicator.receive_from(timeout=5))
        if message["type"] == kind:
            return message


async def test_a_connection_lives_from_welcome_to_disconnect(hub):
    communicator = client()
    assert (await communicator.connect()) == (True, None)
    assert (await receive(communicator, "welcome"))["data"]["user_id"] == "7"
    await communicator.send_to(text_data='{"type":"ping","id":1}')
    assert (await receive(communicator, "pong"))["id"] == 1
    await communicator.send_to(text_data='{"type":"join_room","content":"r","id":2}')
    assert (await receive(communicator, "ack"))["id"] == 2
    await hub.layer.group_send(
        user_group("7"), {"type": MESSAGE, "text": '{"type":"system","content":5,"timestamp":1,"data":{}}'}
    )
    assert (await receive(communicator, "system"))["content"] == 5
    assert len(hub.connections) == 1
    await communicator.disconnect()
    assert hub.connections == {}
    assert hub.rooms == 0


async def test_it_works_behind_a_channels_router(hub):
    communicator = client(app=URLRouter(urlpatterns))
    assert (await communicator.connect())[0]
    await receive(communicator, "welcome")
    await communicator.disconnect()


async def test_the_bearer_subprotocol_is_answered(hub):
    communicator = client("/ws", subprotocols=["bearer", make_token()])
    assert (await communicator.connect()) == (True, "bearer")
    await communicator.disconnect()


async def test_a_bad_token_is_accepted_told_and_closed_with_4401(hub):
    communicator = client("/ws?token=nonsense")
    assert (await communicator.connect())[0]
    assert (await receive(communicator, "error"))["content"]["code"] == 401
    closing = await communicator.receive_output(timeout=5)
    assert (closing["type"], closing["code"]) == ("websocket.close", 4401)
    await communicator.disconnect()


async def test_a_foreign_origin_is_refused_before_the_upgrade(hub):
    communicator = client(headers=[(b"origin", b"https://evil.example"), (b"host", b"testserver")])
    accepted, code = await communicator.connect()
    assert (accepted, code) == (False, 4403)


async def test_a_full_process_refuses_with_503_where_the_server_can(hub):
    hub.draining = True
    communicator = client()
    communicator.scope["extensions"] = {"websocket.http.response": {}}
    await communicator.send_input({"type": "websocket.connect"})
    start = await communicator.receive_output(timeout=5)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 503)
    assert b"retry-after" in dict(start["headers"])
    await communicator.receive_output(timeout=5)
    plain = client()
    assert (await plain.connect())[0] is False


async def test_a_binary_frame_closes_with_1003(hub):
    communicator = client()
    await communicator.connect()
    await receive(communicator, "welcome")
    await communicator.send_to(bytes_data=b"\x00")
    closing = await communicator.receive_output(timeout=5)
    assert (closing["type"], closing["code"]) == ("websocket.close", 1003)
    await communicator.disconnect()


async def test_a_client_that_sends_much_while_it_waits_is_read_at_the_pace_of_its_answers(hub):
    communicator = client()
    await communicator.connect()
    for number in range(90):
        await communicator.send_to(text_data=json.dumps({"type": "join_room", "content": f"r{number}", "id": number}))
    answers = [await receive(communicator, "ack") for _ in range(90)]
    assert [answer["id"] for answer in answers] == list(range(90))
    await communicator.disconnect()
    await eventually(lambda: hub.rooms == 0)


async def test_a_type_of_another_app_is_handled_over_a_real_connection(hub):
    @message_type("order.watch")
    async def watch(context: Any) -> dict[str, Any]:
        if not isinstance(context.message.content, int):
            raise ProtocolError(ErrorCode.INVALID, "'content' must be the number of an order")
        await context.send_to_user(context.principal.user_id, "order.state", "paid")
        return {"watching": context.message.content}

    try:
        communicator = client()
        await communicator.connect()
        await communicator.send_to(text_data='{"type":"order.watch","content":"x","id":1}')
        error = await receive(communicator, "error")
        assert (error["id"], error["content"]["code"]) == (1, 422)
        await communicator.send_to(text_data='{"type":"order.watch","content":5,"id":2}')
        state = await receive(communicator, "order.state")
        assert (state["content"], state["from"], state["data"]["stream"]["name"]) == ("paid", "7", "user")
        assert (await receive(communicator, "ack"))["content"] == {"watching": 5}
        await communicator.disconnect()
    finally:
        unregister("order.watch")
