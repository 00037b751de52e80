"""Messages for users without a connection end in the database, once, whatever the bridge goes through (DESIGN 2.5)."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from ginforge.embedded import EmbeddedValkey
from realtime.bridge.durable import GROUP
from realtime.keys import INGRESS_STREAM
from tests.integration.bridges import BridgeRig
from tests.integration.listening import Listener
from tests.integration.programs import wait_until


@pytest.fixture
def database(migrated_database: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(migrated_database, tmp_path / "db.sqlite3"))


@pytest.fixture
def rig(valkey: EmbeddedValkey, database: Path) -> Iterator[BridgeRig]:
    bridges = BridgeRig(valkey, database)
    yield bridges
    bridges.close()


def stored(database: Path) -> list[tuple[str, str, str]]:
    """Return (user, message id, type) in the order of acceptance."""
    with sqlite3.connect(database) as connection:
        return connection.execute(
            "SELECT recipient, message_id, type FROM notifications_storedmessage WHERE awaiting ORDER BY accepted_order"
        ).fetchall()


def notifications(count: int, *, start: int = 0) -> list[dict]:
    return [{"id": f"n{n}", "content": {"title": str(n)}} for n in range(start, start + count)]


def test_notifications_and_chats_of_an_absent_user_are_stored_in_order(rig: BridgeRig, database: Path):
    rig.start_active()
    rig.publish("websocket:notification:away", *notifications(50))
    rig.add("websocket:user:away2", {"type": "chat", "id": "c1", "content": "hi"})
    rig.publish("websocket:user:away", {"type": "data_update", "content": "not kept"})
    wait_until(lambda: len(stored(database)) >= 51, "51 stored messages")
    rows = stored(database)
    assert [row[1] for row in rows if row[0] == "away"] == [f"n{n}" for n in range(50)]
    assert ("away2", "c1", "chat") in rows
    assert len(rows) == 51


def test_nothing_is_stored_for_a_user_with_a_connection(rig: BridgeRig, database: Path):
    rig.start_active()
    with Listener(rig.valkey.url, "user.here") as listener:
        rig.publish("websocket:notification:here", *notifications(5))
        rig.publish("websocket:notification:away", *notifications(1))
        listener.wait_for(5)
        wait_until(lambda: stored(database), "the stored message")
    assert [row[0] for row in stored(database)] == ["away"]


def test_a_database_that_is_busy_delays_the_messages_and_loses_none(rig: BridgeRig, database: Path):
    bridge = rig.start_active()
    with sqlite3.connect(database, isolation_level=None) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        rig.add("websocket:notification:away", *notifications(20))
        with Listener(rig.valkey.url, "user.here") as listener:
            rig.publish("websocket:user:here", *({"type": "x", "content": n} for n in range(100)))
            listener.wait_for(100)  # the database holds nobody else up
        assert rig.redis.xpending(INGRESS_STREAM, GROUP)["pending"] == 20
        lock.execute("COMMIT")
    wait_until(lambda: len(stored(database)) == 20, "20 stored messages")
    wait_until(lambda: rig.redis.xlen(INGRESS_STREAM) == 0, "the acknowledgement")
    assert bridge.alive


@pytest.mark.parametrize("durable", [False, True])
def test_a_bridge_killed_before_it_stored_a_message_leaves_it_to_the_next(
    rig: BridgeRig, database: Path, durable: bool
):
    active, standby = rig.start_active(), rig.start_standby()
    with sqlite3.connect(database, isolation_level=None) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        send = rig.add if durable else rig.publish
        send("websocket:notification:away", *notifications(20))
        wait_until(lambda: max(report["counters"]["offline"] for report in rig.reports()) == 20, "20 unheard messages")
        active.kill()
        lock.execute("COMMIT")
    rig.wait_for_role(standby, "active")
    wait_until(lambda: len(stored(database)) == 20, "20 stored messages")
    assert [row[1] for row in stored(database)] == [f"n{n}" for n in range(20)]


def test_a_stopped_bridge_stores_what_it_has_before_it_ends(rig: BridgeRig, database: Path):
    bridge = rig.start_active(REALTIME='{"offline_flush": 60}')
    rig.publish("websocket:notification:away", *notifications(20))
    wait_until(lambda: rig.reports()[0]["counters"]["offline"] == 20, "20 unheard messages")
    assert stored(database) == []
    assert bridge.terminate() == 0
    assert len(stored(database)) == 20
