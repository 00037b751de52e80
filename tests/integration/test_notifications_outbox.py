"""Relays of the outbox as processes: sharing the work, being killed, without Redis; on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from ginforge.embedded import EmbeddedValkey
from realtime import keys
from tests.integration.programs import MANAGE, Program, manage, wait_until
from tests.integration.stack import production_environment

USERS, EACH = 7, 60
ENQUEUE = f"""
from django.db import transaction
from notifications import outbox, outgoing
for n in range({EACH}):
    with transaction.atomic():
        for user in range({USERS}):
            outbox.enqueue(outgoing.notification(user, "title", "body", id=f"{{user}}/{{n}}"))
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give a migrated database of this test's own."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_database"), tmp_path / "db.sqlite3")
        return f"sqlite:///{tmp_path / 'db.sqlite3'}"
    server = request.getfixturevalue("postgres")
    name = f"outbox_{uuid.uuid4().hex}"
    with psycopg.connect(server.database_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url: str = server.database_url.rsplit("/", 1)[0] + f"/{name}"
    manage("migrate", "--verbosity", "0", env=production_environment(DATABASE_URL=url))
    return url


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(directory=tmp_path / "valkey", persist=True) as server:
        yield server


@pytest.fixture
def env(database_url: str, valkey: EmbeddedValkey) -> dict[str, str]:
    found = production_environment(DATABASE_URL=database_url, REDIS_URL=valkey.url)
    found["REALTIME"] = json.dumps({"redis_timeout": 1.0, "redis_connect_timeout": 0.5})
    manage("shell", "--no-imports", "-c", ENQUEUE, env=found)
    return found


def relay(env: dict[str, str], name: str) -> Program:
    options = ["--interval", "0.05", "--batch-size", "10", "--claim", "2"]
    return Program(name, [*MANAGE, "relayoutbox", *options], env).start()


def streamed(valkey: EmbeddedValkey) -> list[str]:
    with redis.Redis.from_url(valkey.url) as client:
        return [json.loads(fields[b"message"])["id"] for _, fields in client.xrange(keys.INGRESS_STREAM)]


def assert_all_in_order(ids: list[str]) -> None:
    """Check that nothing is lost and that each recipient's first deliveries are in order."""
    firsts = list(dict.fromkeys(ids))
    for user in range(USERS):
        assert [i for i in firsts if i.startswith(f"{user}/")] == [f"{user}/{n}" for n in range(EACH)]


def test_one_relay_sends_everything_once_and_ends(env, valkey):
    assert f"sent {USERS * EACH}" in manage("relayoutbox", "--once", env=env)
    ids = streamed(valkey)
    assert len(ids) == USERS * EACH
    assert_all_in_order(ids)


def test_three_relays_share_the_work_while_one_of_them_is_killed(env, valkey):
    relays = [relay(env, f"relay-{n}") for n in range(3)]
    try:
        wait_until(lambda: len(streamed(valkey)) > 30, "the relays are at work")
        relays[0].kill()
        wait_until(lambda: len(set(streamed(valkey))) == USERS * EACH, "everything is sent")
        assert_all_in_order(streamed(valkey))
        assert [program.terminate() for program in relays[1:]] == [0, 0]
    finally:
        for program in relays:
            program.close()


def test_a_relay_waits_for_redis_and_loses_nothing(env, valkey):
    valkey.stop()
    program = relay(env, "relay")
    try:
        program.wait_for_log("not sent, trying again")
        valkey.start()
        wait_until(lambda: len(set(streamed(valkey))) == USERS * EACH, "everything is sent")
        assert_all_in_order(streamed(valkey))
        assert program.terminate() == 0
        assert "body" not in program.log
    finally:
        program.close()


def test_without_redis_a_single_run_fails_and_says_why(env, valkey):
    valkey.stop()
    program = Program("once", [*MANAGE, "relayoutbox", "--once"], env).start()
    try:
        assert program.wait() == 1
        assert "Redis did not answer" in program.log
    finally:
        program.close()
