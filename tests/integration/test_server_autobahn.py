"""The Autobahn test suite's own cases against the server, run by kosoku."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.integration.serving import Server

# Performance (9), compression (12, 13): not what this server is about, and not offered.
LEFT_OUT = ("9.*", "12.*", "13.*")


def test_all_autobahn_cases_pass(tmp_path: Path) -> None:
    kosoku = Path(sys.executable).with_name("kosoku")
    left_out = [flag for pattern in LEFT_OUT for flag in ("--exclude", pattern)]
    with Server("echo") as server:
        done = subprocess.run(
            [kosoku, "--parallelism", "2", *left_out, "--outdir", tmp_path, f"127.0.0.1:{server.port}"],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "247 cases passed" in done.stdout
    reports = json.loads((tmp_path / "index.json").read_text())
    verdicts = [case["behavior"] for agent in reports.values() for case in agent.values()]
    assert len(verdicts) == 247
    assert set(verdicts) <= {"OK", "NON-STRICT", "INFORMATIONAL"}
