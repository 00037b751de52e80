"""``make audit``: known vulnerabilities of what is locked, dangerous calls in our sources, and what is installed.

A vulnerability, a finding or a difference fails. A service that cannot be reached does not: what was not checked is
printed, and what needs no service is checked all the same.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.txt", "requirements-dev.txt")
PACKAGES = ("ginforge", "realtime", "notifications")
SERVICES = ("pypi", "osv")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a module of this environment."""
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)


def vulnerabilities(lock: str) -> list[str]:
    """Return the known vulnerabilities of a lock; prints what no service could tell."""
    unchecked = 0
    for service in SERVICES:
        done = run("pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner", "off", "--timeout", "10",
                   "-s", service, "-f", "json", "-r", lock)  # fmt: skip
        try:
            packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
        except (ValueError, KeyError):
            reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            print(f"{lock}: {service} cannot be asked: {reason[:160]}")
            continue
        found = [
            f"{lock}: {package['name']} {package['version']} has {vulnerability['id']}"
            for package in packages
            for vulnerability in package.get("vulns", ())
        ]
        unchecked = sum("skip_reason" in package for package in packages)
        print(f"{lock}: {service} knows {len(packages) - unchecked} of {len(packages)} packages")
        if found or not unchecked:
            return found
    print(f"{lock}: NOT CHECKED for known vulnerabilities ({unchecked or 'all'} packages): no service could be reached")
    return []


def differences() -> list[str]:
    """Return the packages whose installed version is not the locked one."""
    text = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    locked: dict[str, set[str]] = {}  # some have a version for each Python
    for name, version in re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", text, re.MULTILINE):
        locked.setdefault(name, set()).add(version)
    installed = {re.sub(r"[-_.]+", "-", found.name).lower(): found.version for found in metadata.distributions()}
    wrong = [
        f"{name} {installed[name]} is installed, {' or '.join(sorted(versions))} is locked"
        for name, versions in locked.items()
        if name in installed and installed[name] not in versions
    ]
    print(f"{len(locked)} locked packages compared with what is installed")
    return wrong


def inconsistencies() -> list[str]:
    """Return what pip finds missing or contradictory among the installed packages."""
    done = run("pip", "check", "--disable-pip-version-check")
    return [] if done.returncode == 0 else done.stdout.splitlines()


def dangerous_calls() -> list[str]:
    """Return bandit's findings of medium and high severity."""
    done = run("bandit", "-q", "-ll", "-c", "pyproject.toml", "-f", "json", "-r", *PACKAGES)
    report = json.loads(done.stdout)
    lines = sum(entry["loc"] for name, entry in report["metrics"].items() if name != "_totals")
    print(f"bandit read {lines} lines")
    errors = [f"{error['filename']}: {error['reason']}" for error in report["errors"]]
    return errors + [f"{r['filename']}:{r['line_number']}: {r['test_id']} {r['issue_text']}" for r in report["results"]]


CHECKS: tuple[Callable[[], list[str]], ...] = (
    *((lambda lock=lock: vulnerabilities(lock)) for lock in LOCKS),
    differences,
    inconsistencies,
    dangerous_calls,
)


def main() -> int:
    """Run all checks and return the exit code."""
    problems = [problem for check in CHECKS for problem in check()]
    print("\n".join(problems) if problems else "nothing found")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
