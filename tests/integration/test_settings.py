"""Production refuses to start with weak secrets, whatever the entry."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.integration.programs import ROOT, passing_environment
from tests.integration.stack import production_environment

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
