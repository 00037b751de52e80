"""Fixtures that start the real thing: Valkey, bridge and gateway as processes on free ports.

``stack``        one shared deployment for the whole run: use user ids and rooms of your own
``own_stack``    a deployment for this test alone: kill, freeze and restart what you like
``start_stack``  start a deployment with your own environment and number of gateways, bridges and workers
``valkey``       a Valkey for this test alone
``postgres``     a PostgreSQL that tests share; skipped where its server is not installed
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path

import pytest

from ginforge.embedded import EmbeddedValkey
from tests.integration.postgres import Postgres, postgres_binaries
from tests.integration.programs import Program, manage
from tests.integration.stack import Stack, production_environment


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the end of the log of every running process when a test fails."""
    report = yield
    if report.failed:
        for program in Program.running:
            report.sections.append((f"log of {program.name} (pid {program.pid})", program.log[-8000:]))
    return report


@pytest.fixture
def valkey() -> Iterator[EmbeddedValkey]:
    """Give a running Valkey of this test's own."""
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Give a running PostgreSQL."""
    binaries = postgres_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server on this machine (Debian: postgresql)")
    with Postgres(binaries) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give an SQLite file with all migrations, to copy."""
    path = tmp_path_factory.mktemp("database") / "migrated.sqlite3"
    manage("migrate", "--verbosity", "0", env=production_environment(DATABASE_URL=f"sqlite:///{path}"))
    # What is still in the write-ahead log would be missing from a copy.
    manage(
        "shell",
        "--no-imports",
        "-c",
        "from django.db import connection as c; c.cursor().execute('PRAGMA wal_checkpoint(TRUNCATE)')",
        env=production_environment(DATABASE_URL=f"sqlite:///{path}"),
    )
    return path


@pytest.fixture
def start_stack(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Iterator[Callable[..., Stack]]:
    """Give ``start(env={…}, gateways=1, bridges=1, workers=1) -> Stack``; all of it is stopped after the test."""
    stacks: list[Stack] = []

    def start(env: Mapping[str, str] | None = None, **sizes: int) -> Stack:
        stack = Stack(tmp_path_factory.mktemp("stack"), migrated_database, env)
        stacks.append(stack)
        return stack.start(**sizes)

    yield start
    for stack in stacks:
        stack.close()


@pytest.fixture
def own_stack(start_stack: Callable[..., Stack]) -> Stack:
    """Give a deployment that belongs to this test alone."""
    return start_stack()


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Iterator[Stack]:
    """Give the deployment that tests share; leave it as you found it."""
    shared = Stack(tmp_path_factory.mktemp("stack"), migrated_database)
    try:
        yield shared.start()
    finally:
        shared.close()
