"""When the only gateway is killed, its users do not stay online for ever: a bridge takes them back."""

from __future__ import annotations

import json

import pytest
from websockets.sync.client import connect

from notifications import NotificationClient
from tests.integration.programs import wait_until
from tests.integration.stack import Stack

pytestmark = pytest.mark.integration


def test_users_of_the_last_gateway_go_offline_after_its_lease(own_stack: Stack) -> None:
    client = NotificationClient(own_stack.redis_url)
    with connect(own_stack.ws("last")) as socket:
        assert json.loads(socket.recv())["type"] == "welcome"
        assert client.is_user_online("last")
        own_stack.gateway.kill()
    assert client.is_user_online("last"), "within the lease it may be a hiccup"
    wait_until(lambda: not client.is_user_online("last"), "the user to go offline")
