"""Whatever ends a user's rights ends the live connections on every instance, and keeps the token out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from realtime.cluster import Cluster
from tests.integration.clients import Client
from tests.integration.programs import wait_until
from tests.integration.stack import Stack, get, make_token
from tests.security.observing import fresh, order, post

pytestmark = pytest.mark.integration

WITHIN = 2.0
"""Seconds from the trigger to the close frame; the contract."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, migrated_database: Any) -> Iterator[Stack]:
    """Two instances over one Redis and one database."""
    made = Stack(tmp_path_factory.mktemp("stack"), migrated_database)
    try:
        yield made.start(gateways=2)
    finally:
        made.close()


def python(stack: Stack, code: str) -> str:
    """Run code in a Django process of the deployment, as another service of the project would."""
    setup = "from django.contrib.auth import get_user_model as u;U=u().objects;"
    return stack.manage("shell", "--no-imports", "-c", setup + code).strip()


def account(stack: Stack, name: str) -> dict[str, Any]:
    """Make a user and log in."""
    python(stack, f"U.create_user({name!r}, password='pw-{name}', is_staff=True)")
    status, pair = post(f"{stack.url}/api/v1/auth/token/", {"username": name, "password": f"pw-{name}"})
    assert status == 200, pair
    return pair


async def cut_everywhere(stack: Stack, token: str, trigger: Callable[[], Any], codes: tuple[int, ...]) -> None:
    """Connect to every instance, pull the trigger, and see both connections cut; then nobody lets the token in."""
    urls = [f"{gateway.ws_url}?token={token}" for gateway in stack.gateways]
    clients = [await Client(url).open() for url in urls]
    bystander = await Client(stack.ws(fresh("bystander"))).open()
    assert [client.messages[0]["type"] for client in clients] == ["welcome"] * len(clients)
    done: list[float] = []

    def pull() -> None:
        trigger()
        done.append(time.monotonic())

    await asyncio.to_thread(pull)
    for client in clients:
        code, _ = await client.wait_closed()
        assert code in codes
        assert client.of_type("error")[-1]["content"]["code"] == code - 4000
    assert time.monotonic() - done[0] < WITHIN
    for url in urls:
        refused = await Client(url).open()
        assert (await refused.wait_closed())[0] == 4401
    assert (await bystander.ask(type="ping"))["type"] == "pong"
    await bystander.close()


async def test_logout(pair: Stack) -> None:
    login = account(pair, fresh("logout"))

    def logout() -> None:
        assert post(f"{pair.url}/api/v1/auth/logout/", {"refresh": login["refresh"]})[0] == 204

    await cut_everywhere(pair, login["access"], logout, (4401,))


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ("x.is_active=False;x.save()", (4403,)),
        ("x.set_password('new-pw-123');x.save()", (4401,)),
        ("x.is_staff=False;x.save()", (4401,)),
        ("x.delete()", (4403,)),
    ],
    ids=["deactivated", "new password", "no longer staff", "deleted"],
)
async def test_a_change_of_the_account(pair: Stack, change: str, codes: tuple[int, ...]) -> None:
    name = fresh("changed")
    login = account(pair, name)
    await cut_everywhere(pair, login["access"], lambda: python(pair, f"x=U.get(username={name!r});{change}"), codes)


async def test_staff_revoke_a_user_and_a_token(pair: Stack) -> None:
    user, jti = fresh("revoked"), fresh("jti")
    await cut_everywhere(pair, make_token(user), lambda: order(pair, user_id=user, revoke=True, code=4403), (4403,))
    other = fresh("revoked")
    await cut_everywhere(
        pair, make_token(other, jti=jti), lambda: order(pair, jti=jti, revoke=True, code=4401), (4401,)
    )
    async with Client(pair.ws(other)) as client:
        assert client.messages[0]["type"] == "welcome"  # another token of the same user


async def test_staff_and_other_services_disconnect_a_user_a_client_and_a_token(pair: Stack) -> None:
    user = fresh("cut")
    cluster = Cluster([pair.redis_url])
    for trigger in (
        lambda client: order(pair, client_id=client.messages[0]["data"]["client_id"], code=4403),
        lambda client: order(pair, user_id=user, code=4401),
        lambda client: cluster.disconnect(client_id=client.messages[0]["data"]["client_id"], code=4403),
        lambda client: cluster.disconnect(jti=f"jti-{user}"),
        lambda client: cluster.disconnect(user_id=user),
    ):
        client = await Client(pair.gateways[1].ws(user, jti=f"jti-{user}")).open()
        await asyncio.to_thread(trigger, client)
        assert (await client.wait_closed())[0] in (4401, 4403)
    cluster.close()


async def test_what_was_revoked_while_redis_was_gone_is_cut_when_it_is_back(own_stack: Stack) -> None:
    user = fresh("gone")
    revoked = await Client(own_stack.ws(user)).open()
    untouched = await Client(own_stack.ws(fresh("stays"))).open()
    with own_stack.redis() as redis:
        # The order to cut is lost: only the key is there when the gateway comes back.
        redis.set(f"ginforge:revoked:user:{user}", str(int(time.time()) + 1), ex=600)
        redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    assert (await revoked.wait_closed())[0] == 4401
    await asyncio.to_thread(own_stack.gateway.wait_until_ready)
    assert (await untouched.ask(type="ping"))["type"] == "pong"
    await untouched.close()


@pytest.mark.parametrize("fail_open", [False, True])
async def test_without_redis_nobody_new_comes_in_and_those_inside_stay(
    start_stack: Callable[..., Stack], fail_open: bool
) -> None:
    stack = start_stack(env={"REALTIME": '{"fail_open_revocation": true}'} if fail_open else {})
    inside = await Client(stack.ws("inside")).open()
    await asyncio.to_thread(stack.valkey.kill)
    await asyncio.to_thread(wait_until, lambda: not stack.gateway.is_ready(), "the gateway to notice")
    outside = await Client(stack.ws("outside")).open()
    assert outside.messages[0]["content"]["code"] == 503
    assert (await outside.wait_closed())[0] == 1013
    assert (await inside.ask(type="ping"))["type"] == "pong"
    status = get(f"{stack.url}/api/v1/notifications/", token=make_token("inside"))[0]
    assert status == 503 or (fail_open and status == 200)
    await inside.close()
