"""Several beats and workers over one database: each job is sent once and taken once, on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.programs import MANAGE, ROOT, manage, passing_environment
from tests.integration.stack import production_environment

JOBS = 60
MAKE = f"from ginforge.worker import jobs; [jobs.schedule('t', {{}}, key=f'race-{{i}}') for i in range({JOBS})]"
DISPATCH = """
import sys
from ginforge.worker.dispatch import dispatch_due
class Queue:
    def send_task(self, task, *, kwargs, task_id):
        print(task_id)
print("ready", flush=True)
sys.stdin.readline()
while dispatch_due(Queue()):
    pass
"""
CLAIM = """
import os, sys
from ginforge.worker import jobs
from ginforge.worker.models import Job
count = Job.objects.count()
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    for key in (f"race-{number}", f"new-{number}"):
        if jobs.claim(key, task="t", arguments="{}", holder=str(os.getpid())):
            print(key)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def env(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database_url
        env = production_environment(DATABASE_URL=url, WORKER='{"dispatch_batch": 7}')
        manage("migrate", "--verbosity", "0", env=env)
        manage(
            "shell", "--no-imports", "-c", "from ginforge.worker.models import Job; Job.objects.all().delete()", env=env
        )
    else:
        shutil.copy(request.getfixturevalue("migrated_database"), tmp_path / "db.sqlite3")
        database = f"sqlite:///{tmp_path / 'db.sqlite3'}"
        env = production_environment(DATABASE_URL=database, WORKER='{"dispatch_batch": 7}')
    manage("shell", "--no-imports", "-c", MAKE, env=env)
    return env


def at_once(code: str, env: dict[str, str], processes: int = 3) -> list[list[str]]:
    """Run code in several processes that start together; returns the lines each has printed."""
    command = [sys.executable, *MANAGE[1:], "shell", "--no-imports", "-c", code]
    running = [
        subprocess.Popen(
            command,
            env={**passing_environment(), **env},
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(processes)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        outputs = []
        for process in running:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        for process in running:
            outputs.append(process.communicate(timeout=120)[0].split())
            assert process.returncode == 0
        return outputs
    finally:
        for process in running:
            process.kill()
            process.wait()


def test_two_beats_send_each_due_job_once(env: dict[str, str]):
    sent = [key for lines in at_once(DISPATCH, env) for key in lines]
    assert sorted(sent) == sorted(f"race-{number}" for number in range(JOBS))


def test_of_many_deliveries_one_takes_the_job(env: dict[str, str]):
    taken = [key for lines in at_once(CLAIM, env) for key in lines]
    expected = [f"{kind}-{number}" for kind in ("race", "new") for number in range(JOBS)]
    assert sorted(taken) == sorted(expected)
