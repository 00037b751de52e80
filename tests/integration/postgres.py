"""A real PostgreSQL on a free loopback port, from the server binaries of the machine."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import psycopg

from ginforge.embedded import free_port
from tests.integration.programs import Program, wait_until

SUPERUSER = "postgres"


def postgres_binaries() -> Path | None:
    """Return the folder with ``initdb`` and ``postgres``, the newest version first; None without one."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: -int(path.parts[-3]))
    if packaged:
        return packaged[0].parent
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def _as_server_user() -> list[str]:
    """PostgreSQL refuses to run as root: become the package's user then, or ``nobody``."""
    if os.geteuid() != 0:
        return []
    name = next((user.pw_name for user in pwd.getpwall() if user.pw_name == SUPERUSER), "nobody")
    return ["setpriv", f"--reuid={name}", f"--regid={pwd.getpwnam(name).pw_gid}", "--clear-groups", "--"]


class Postgres:
    """One cluster in a temporary directory, trusting loopback; ``database_url`` for Django."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._directory = Path(tempfile.mkdtemp(prefix="ginforge-postgres-"))
        self.port = free_port()
        prefix = _as_server_user()
        if prefix:
            os.chown(self._directory, int(pwd.getpwnam(prefix[1].removeprefix("--reuid=")).pw_uid), -1)
        options = ["-c", "fsync=off", "-c", f"unix_socket_directories={self._directory}", "-h", "127.0.0.1"]
        self._server = Program(
            "postgres",
            [*prefix, str(binaries / "postgres"), "-D", f"{self._directory}/data", "-p", str(self.port), *options],
            cwd=self._directory,
        )
        self._prefix = prefix

    @property
    def database_url(self) -> str:
        """``DATABASE_URL`` of the database ``postgres``."""
        return f"postgres://{SUPERUSER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> Self:
        """Create the cluster, start the server and wait until it lets somebody in."""
        command = [str(self._binaries / "initdb"), "-D", f"{self._directory}/data", "-U", SUPERUSER, "-A", "trust"]
        done = subprocess.run(
            [*self._prefix, *command, "-N", "-E", "UTF8", "--locale=C"],
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        self._server.start()
        wait_until(self._answers, "PostgreSQL")
        return self

    def _answers(self) -> bool:
        assert self._server.alive, self._server.log
        try:
            psycopg.connect(self.database_url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *details: object) -> None:
        self._server.close()
        shutil.rmtree(self._directory, ignore_errors=True)
