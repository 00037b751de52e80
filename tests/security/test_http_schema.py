"""Requests made from the OpenAPI schema, valid ones and broken ones: no answer is a 5xx."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.programs import passing_environment
from tests.integration.stack import Stack, make_token

SECONDS = 45


@pytest.mark.slow
def test_whatever_the_schema_allows_or_forbids_is_never_answered_with_5xx(
    start_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    stack = start_stack({"USER_RATE": "1000000/min", "LOGIN_RATE": "1000000/min", "LOCKOUT_FAILURES": "1000000"})
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{stack.url}/api/schema/",
        "--checks", "not_a_server_error", "--max-time", str(SECONDS), "--seed", "1", "--max-examples", "40",
        "--phases", "examples,coverage,fuzzing", "--continue-on-failure", "--no-color", "--warnings", "off",
        "--no-shrink", "--generation-database", "none",
        "--header", f"Authorization: Bearer {make_token(1, is_staff=True)}",
    ]  # fmt: skip
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=passing_environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS * 4,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Traceback" not in stack.gateway.log, stack.gateway.log[-6000:]
    assert stack.gateway.is_ready()
