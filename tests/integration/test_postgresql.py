"""The project on PostgreSQL, chosen by DATABASE_URL alone."""

from __future__ import annotations

import json

from tests.integration.postgres import Postgres
from tests.integration.programs import manage
from tests.integration.stack import production_environment

LOGIN = """
import json
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
get_user_model().objects.create_user("ada", password="correct horse battery")
client = Client(headers={"host": "localhost"})
login = {"username": "ada", "password": "correct horse battery"}
answer = client.post("/api/v1/auth/token/", login, content_type="application/json")
from realtime.auth import get_verifier
print(json.dumps({
    "vendor": connection.vendor,
    "status": answer.status_code,
    "username": get_verifier().verify(answer.json()["access"]).username,
}))
"""


def test_migrations_login_and_token_work(postgres: Postgres) -> None:
    env = production_environment(DATABASE_URL=postgres.database_url)
    manage("migrate", "--verbosity", "0", env=env)
    assert "No changes detected" in manage("makemigrations", "--check", "--dry-run", env=env)
    told = json.loads(manage("shell", "--no-imports", "-c", LOGIN, env=env).splitlines()[-1])
    assert told == {"vendor": "postgresql", "status": 200, "username": "ada"}
