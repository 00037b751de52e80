"""Real processes under test: started with an explicit environment, their output kept, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Self

from ginforge.lifeline import die_with_parent

ROOT = Path(__file__).resolve().parents[2]
MANAGE = [sys.executable, str(ROOT / "manage.py")]
STARTUP_SECONDS = 60.0


def wait_until(condition: Callable[[], object], what: str, timeout: float = STARTUP_SECONDS) -> None:
    """Poll until ``condition()`` is true.

    Raises ``AssertionError`` that names ``what`` was waited for.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout:g} s in vain for {what}")
        time.sleep(0.03)


def passing_environment() -> dict[str, str]:
    """Return the little of this process's environment that a child gets: where programs are, and coverage."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
    return {
        name: value for name, value in os.environ.items() if name in kept or name.startswith(("COVERAGE_", "COV_CORE_"))
    }


class Program:
    """One process in its own session; a context manager that leaves nothing running.

    ``log`` is everything it wrote to stdout and stderr. It is killed when the test run dies.
    """

    running: ClassVar[list[Program]] = []

    def __init__(
        self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None, *, cwd: Path = ROOT
    ) -> None:
        self.name = name
        self.command = list(command)
        self.env = {**passing_environment(), "PYTHONUNBUFFERED": "1", **(env or {})}
        self.cwd = cwd
        self._file = tempfile.NamedTemporaryFile(prefix=f"{name}-", suffix=".log", delete=False)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """All output so far."""
        return Path(self._file.name).read_text(errors="replace")

    @property
    def pid(self) -> int:
        """Process id of the running process."""
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Say whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> Self:
        """Start the process; it need not be ready when this returns."""
        self.process = subprocess.Popen(
            self.command,
            env=self.env,
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        Program.running.append(self)
        return self

    def wait_for_log(self, text: str, timeout: float = STARTUP_SECONDS) -> None:
        """Wait until the output holds ``text``; fails at once when the process ends without it."""

        def found() -> bool:
            if text in self.log:
                return True
            assert self.alive, f"{self.name} ended with {self.process and self.process.poll()}:\n{self.log[-4000:]}"
            return False

        wait_until(found, f"{text!r} in the log of {self.name}", timeout)

    def wait(self, timeout: float = STARTUP_SECONDS) -> int:
        """Wait for the end and return the exit code."""
        assert self.process is not None
        return self.process.wait(timeout)

    def signal(self, number: int) -> None:
        """Send a signal to the process itself."""
        os.kill(self.pid, number)

    def terminate(self, timeout: float = 15.0) -> int:
        """Ask the process to stop (SIGTERM), wait, and return its exit code; killed after ``timeout`` seconds."""
        if self.process is None:
            return 0
        if self.alive:
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()
        finally:
            self._sweep()

    def kill(self) -> int:
        """Kill the process and its session (SIGKILL), as a crash would; return its exit code."""
        if self.process is None:
            return 0
        self._sweep()
        return self.process.wait(10)

    def _sweep(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        if self in Program.running:
            Program.running.remove(self)

    def close(self) -> None:
        """Stop the process and forget its log."""
        self.terminate()
        self._file.close()
        Path(self._file.name).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *details: object) -> None:
        self.close()


def manage(*arguments: str, env: Mapping[str, str], timeout: float = 120.0) -> str:
    """Run one ``manage.py`` command to its end and return its stdout.

    Raises ``AssertionError`` with the output when it fails.
    """
    done = subprocess.run(
        [*MANAGE, *arguments],
        env={**passing_environment(), **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, f"manage.py {' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout
