"""The project on PostgreSQL, chosen by DATABASE_URL alone."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable

import pytest
from websockets.sync.client import connect

from tests.integration.postgres import Postgres
from tests.integration.programs import manage, wait_until
from tests.integration.stack import Stack, production_environment

PASSWORD = "correct horse battery"
CREATE_USER = f"""
from django.contrib.auth import get_user_model
from django.db import connection
print(connection.vendor, get_user_model().objects.create_user("ada", password="{PASSWORD}").pk)
"""


@pytest.fixture(scope="module")
def database_url(postgres: Postgres) -> str:
    """Give a migrated PostgreSQL database."""
    manage("migrate", "--verbosity", "0", env=production_environment(DATABASE_URL=postgres.database_url))
    return postgres.database_url


def log_in(stack: Stack) -> str:
    body = json.dumps({"username": "ada", "password": PASSWORD}).encode()
    request = urllib.request.Request(f"{stack.url}/api/v1/auth/token/", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        token: str = json.load(answer)["access"]
    return token


def test_the_models_and_the_migrations_agree(database_url: str) -> None:
    env = production_environment(DATABASE_URL=database_url)
    assert "No changes detected" in manage("makemigrations", "--check", "--dry-run", env=env)


def test_login_websocket_and_stored_messages_work(start_stack: Callable[..., Stack], database_url: str) -> None:
    stack = start_stack(env={"DATABASE_URL": database_url})
    vendor, user_id = stack.manage("shell", "--no-imports", "-c", CREATE_USER).split()
    assert vendor == "postgresql"
    notification = {"type": "notification", "content": {"title": "while you were away", "body": ""}}
    stack.publish(f"websocket:notification:{user_id}", notification)

    def arrived() -> bool:
        with connect(f"{stack.ws_url}?token={log_in(stack)}") as socket:
            assert '"type":"welcome"' in socket.recv(10)
            try:
                return "while you were away" in socket.recv(1)
            except TimeoutError:  # not stored yet when it connected: look again
                return False

    wait_until(arrived, "the stored notification", 20)
