"""``make audit``: what it does without a service, and that it fails when there is something to find."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest

from tests.integration.programs import ROOT


@pytest.fixture
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ci_audit", ROOT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def answering(monkeypatch: pytest.MonkeyPatch, audit: Any, stdout: str, stderr: str = "") -> None:
    done = subprocess.CompletedProcess([], 1, stdout, stderr)
    monkeypatch.setattr(audit, "run", lambda *command: done)


def test_a_known_vulnerability_is_found(monkeypatch: pytest.MonkeyPatch, audit: Any) -> None:
    package = {"name": "django", "version": "1.0", "vulns": [{"id": "CVE-1"}]}
    answering(monkeypatch, audit, json.dumps({"dependencies": [package]}))
    assert audit.vulnerabilities("requirements.txt") == ["requirements.txt: django 1.0 has CVE-1"]


@pytest.mark.parametrize(
    ("stdout", "stderr"),
    [("", "ConnectionError: unreachable"), ('{"dependencies": [{"name": "django", "skip_reason": "not found"}]}', "")],
)
def test_what_no_service_could_tell_is_said_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, audit: Any, capsys: pytest.CaptureFixture[str], stdout: str, stderr: str
) -> None:
    answering(monkeypatch, audit, stdout, stderr)
    assert audit.vulnerabilities("requirements.txt") == []
    assert "NOT CHECKED" in capsys.readouterr().out


def test_our_sources_hold_no_dangerous_call(audit: Any) -> None:
    assert audit.dangerous_calls() == []


def test_a_dangerous_call_would_be_found(tmp_path: Any) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text("import pickle, sys\npickle.loads(sys.stdin.buffer.read())\n")
    command = [sys.executable, "-m", "bandit", "-q", "-ll", "-c", str(ROOT / "pyproject.toml"), str(bad)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_ci_audits() -> None:
    assert 'step "make audit" make audit' in (ROOT / ".ci" / "run").read_text()
