"""Production refuses to start with weak secrets, whatever the entry."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jwt
import pytest

from tests.integration.programs import ROOT, manage, passing_environment
from tests.integration.stack import SIGNING_KEY, production_environment

ENTRIES = {
    "manage.py": ["manage.py", "check"],
    "daphne": ["-m", "daphne", "-p", "0", "ginforge.asgi:application"],
    "uvicorn": ["-m", "uvicorn", "--port", "0", "ginforge.asgi:application"],
}


def run(entry: str, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {**passing_environment(), **production_environment(**env)}
    return subprocess.run(
        [sys.executable, *ENTRIES[entry]],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize(
    ("secrets", "complaint"),
    [
        ({"SECRET_KEY": ""}, "SECRET_KEY is missing"),
        ({"JWT_SIGNING_KEY": "secret"}, "JWT_SIGNING_KEY is shorter than 32 bytes"),
    ],
)
def test_a_weak_secret_ends_the_start_with_one_line(entry: str, secrets: dict[str, str], complaint: str) -> None:
    done = run(entry, **secrets)
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert [line for line in lines if complaint in line] == lines
    assert "Traceback" not in done.stdout + done.stderr


def test_good_secrets_start() -> None:
    done = run("manage.py")
    assert "refusing" not in done.stderr


def test_tokens_carry_the_issuer_and_audience_of_the_environment() -> None:
    env = production_environment(JWT_ISSUER="https://issuer.example", JWT_AUDIENCE="realtime")
    token = manage("issuetoken", "7", env=env).strip()
    claims = jwt.decode(token, SIGNING_KEY, ["HS256"], issuer="https://issuer.example", audience="realtime")
    assert claims["user_id"] == "7"


def test_with_debug_the_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    env = production_environment(DEBUG="1", SECRET_KEY="", JWT_SIGNING_KEY="", DEVELOPMENT_DIR=str(tmp_path / "dev"))
    tokens = [manage("issuetoken", "7", env=env).strip() for _ in range(2)]
    key = json.loads((tmp_path / "dev" / "secrets.json").read_text())["JWT_SIGNING_KEY"]
    assert [jwt.decode(token, key, ["HS256"])["user_id"] for token in tokens] == ["7", "7"]
