"""Room permissions that read models: the example of docs/rooms.md, in a real deployment."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.clients import Client
from tests.integration.programs import ROOT
from tests.integration.stack import Stack, make_token

pytestmark = pytest.mark.integration

WITHIN = 2.0
"""Seconds from the change in the database to the eviction; the contract."""
EXAMPLE = dict(re.findall(r"```python\n# (\S+)\n(.*?)```", (ROOT / "docs/rooms.md").read_text(), re.DOTALL))
SETTINGS = f"""
from ginforge.settings import *
INSTALLED_APPS = [*INSTALLED_APPS, "shop"]
{EXAMPLE["settings.py"]}
"""
APP = """
from django.apps import AppConfig
class Shop(AppConfig):
    name = "shop"
    default_auto_field = "django.db.models.BigAutoField"
"""
ON_CHANGE = "    def ready(self):\n        import shop.signals\n"
SETUP = "from django.contrib.auth import get_user_model as u; from shop.models import Order; U=u().objects;"

RENAME = "from django.db import connection as c; c.cursor().execute('alter table {} rename to {}')"


def shop(directory: Path, *, by_signal: bool) -> dict[str, str]:
    """Write the example as a project; returns the environment that uses it."""
    (directory / "shop").mkdir()
    (directory / "shop/__init__.py").touch()
    (directory / "shop/apps.py").write_text(APP + (ON_CHANGE if by_signal else ""))
    permissions = EXAMPLE["shop/permissions.py"]
    if by_signal:
        permissions = permissions.replace('closed."""\n', 'closed."""\n\n    changes = False\n')
    (directory / "shop/models.py").write_text(EXAMPLE["shop/models.py"])
    (directory / "shop/permissions.py").write_text(permissions)
    (directory / "shop/signals.py").write_text(EXAMPLE["shop/signals.py"])
    (directory / "shop_settings.py").write_text(SETTINGS)
    return {"PYTHONPATH": str(directory), "DJANGO_SETTINGS_MODULE": "shop_settings"}


@pytest.fixture(scope="module", params=[False, True], ids=["asked again and again", "told by a signal"])
def store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated_database: Any
) -> Iterator[Stack]:
    """A deployment with the example, two users and their orders; two instances."""
    directory = tmp_path_factory.mktemp("shop")
    made = Stack(directory, migrated_database, shop(directory, by_signal=request.param))
    try:
        made.manage("migrate", "--run-syncdb", "--verbosity", "0")
        made.start(gateways=2)
        python(made, "[U.create_user(f'user{n}', id=n) for n in (101, 102)]")
        yield made
    finally:
        made.close()


def python(stack: Stack, code: str) -> str:
    return stack.manage("shell", "--no-imports", "-c", SETUP + code).strip()


def new_order(stack: Stack, owner: int) -> int:
    return int(python(stack, f"print(Order.objects.create(owner_id={owner}).pk)"))


async def test_only_the_owner_enters_and_absent_looks_like_forbidden(store: Stack) -> None:
    mine, foreign = new_order(store, 101), new_order(store, 102)
    async with Client(store.ws("101")) as client:
        await client.join(f"order:{mine}")
        rooms = [f"order:{foreign}", "order:987654", "order:", "order:x", "order:-1", f"order:{10**40}", "desk:1"]
        answers = [await client.ask(type="join_room", content=room) for room in rooms]
        assert {(a["type"], a["content"]["code"], a["content"]["message"]) for a in answers} == {
            ("error", 403, "you may not enter this room")
        }
        # The same answers at a resume.
        at = {"epoch": "none", "offset": 0}
        streams = {f"room:order:{number}": at for number in (mine, foreign, 987654)}
        await client.send(type="resume", content={"streams": streams})
        found = (await client.wait_for("resumed"))[0]["content"]["streams"]
        assert found[f"room:order:{foreign}"] == found["room:order:987654"]
        assert found[f"room:order:{foreign}"]["error"]["code"] == 403
        assert "error" not in found[f"room:order:{mine}"]
        # Not a member: the same for both as well.
        for number in (foreign, 987654):
            answer = await client.ask(type="room_message", room=f"order:{number}", content="let me in")
            assert answer["content"]["message"] == "you are not a member of this room"
            assert (await client.ask(type="leave_room", content=f"order:{number}"))["type"] == "ack"


async def test_who_may_not_send_hears_all_the_same(store: Stack) -> None:
    order = new_order(store, 101)
    async with Client(store.ws("101")) as client, Client(store.ws("102")) as reader:
        await client.join(f"order:{order}")
        assert (await client.ask(type="room_message", room=f"order:{order}", content=1))["type"] == "ack"
        await asyncio.to_thread(python, store, f"x=Order.objects.get(pk={order});x.closed=True;x.save()")
        assert (await client.ask(type="room_message", room=f"order:{order}", content=2))["content"]["code"] == 403
        store.publish(f"websocket:room:order:{order}", {"type": "room_message", "content": 3})
        assert [m["content"] for m in await client.wait_for("room_message", 2)] == [1, 3]
        await reader.join("news:today")
        assert (await reader.ask(type="room_message", room="news:today", content=4))["content"]["code"] == 403


async def test_a_permission_taken_away_evicts_on_every_instance(store: Stack) -> None:
    order = new_order(store, 101)
    room = f"order:{order}"
    clients = [await Client(gateway.ws("101")).open() for gateway in store.gateways]
    for client in clients:
        await client.join(room)
    code = f"import time;x=Order.objects.get(pk={order});x.owner_id=102;x.save();print(time.time())"
    changed_at = float(await asyncio.to_thread(python, store, code))
    for client in clients:
        evicted = (await client.wait_for("error"))[0]
        assert (evicted["content"]["code"], room in evicted["content"]["message"]) == (403, True)
    assert time.time() - changed_at < WITHIN
    store.publish(f"websocket:room:{room}", {"type": "room_message", "content": "not for you"})
    async with Client(store.ws("102")) as owner:
        await owner.join(room)
        store.publish(f"websocket:room:{room}", {"type": "room_message", "content": "for you"})
        await owner.wait_for("room_message")
    for client in clients:
        assert client.of_type("room_message") == []
        assert (await client.ask(type="join_room", content=room))["content"]["code"] == 403
        assert (await client.ask(type="ping"))["type"] == "pong"
        await client.close()


async def test_a_rooms_claim_and_the_permissions_must_agree(store: Stack) -> None:
    mine = new_order(store, 101)
    token = make_token("101", rooms=["news:*"])
    async with Client(f"{store.ws_url}?token={token}") as client:
        assert (await client.ask(type="join_room", content=f"order:{mine}"))["content"]["code"] == 403
        await client.join("news:today")


async def test_a_permission_that_fails_lets_nobody_in(store: Stack) -> None:
    order = new_order(store, 101)
    await asyncio.to_thread(python, store, RENAME.format("shop_order", "hidden"))
    try:
        async with Client(store.ws("101")) as client:
            answer = await client.ask(type="join_room", content=f"order:{order}")
            assert (answer["type"], answer["content"]["code"]) == ("error", 500)
            assert "shop_order" not in answer["content"]["message"]
            await client.join("elsewhere")
    finally:
        await asyncio.to_thread(python, store, RENAME.format("hidden", "shop_order"))
