"""Server processes: started on their core, measured through /proc, and gone at the end whatever happens."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from ginforge.lifeline import die_with_parent

_FILES = 20_000


class ServerFailed(RuntimeError):
    """A server ended, or was not ready in time; the message holds the end of its log."""


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us have, up to 20,000 (one per connection)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def share_priority(pid: int) -> None:
    """Give a process in a session of its own our priority: Linux schedules whole sessions against each other.

    See ``autogroup`` in sched(7).
    """
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    if nice < 0:
        with contextlib.suppress(FileNotFoundError):  # a kernel without it compares processes
            Path(f"/proc/{pid}/autogroup").write_text(str(nice))


def cores() -> tuple[frozenset[int], frozenset[int]]:
    """Return (core of the servers, cores of the load): the first is the servers' alone when there are two or more."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return frozenset(available), frozenset(available)
    return frozenset(available[:1]), frozenset(available[1:])


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds (user and system, all threads and children) and resident bytes of a server."""

    cpu: float
    rss: int
    waited: float
    """Seconds that it was ready to run while another process had its core: more than a little means disturbance."""


class Server:
    """One server with its children; a context manager."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cpus: frozenset[int] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.log = log
        self._command = list(command)
        self._env = {**os.environ, **env}
        self._cpus = cpus
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self._env,
                cwd=self._directory,
                start_new_session=True,
                preexec_fn=self._preparation(),
            )
        return self

    def _preparation(self) -> Callable[[], None]:
        follow_parent = die_with_parent(signal.SIGKILL)

        def prepare() -> None:
            follow_parent()
            raise_file_limit()
            share_priority(os.getpid())
            if self._cpus:
                os.sched_setaffinity(0, self._cpus)

        return prepare

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, timeout: float = 5.0) -> None:
        """End the server and its children: in order first, then by force."""
        if self._process is None:
            return
        family = self._family()
        self._process.terminate()
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for member in family:
            if member.is_running():
                member.kill()
        self._process = None

    def wait_until(self, ready: Callable[[], bool], timeout: float = 30.0) -> None:
        """Wait for ``ready``; raises ``ServerFailed`` when the process ends first or the time is up."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise ServerFailed(f"{' '.join(self._command)}\n{tail}")
            time.sleep(0.05)

    def finish(self, timeout: float) -> None:
        """Wait for a command that ends by itself; raises ``ServerFailed`` when it ends badly or not in time."""
        assert self._process is not None
        try:
            code = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        if code != 0:
            raise ServerFailed(f"{' '.join(self._command)}\n{self.log.read_text(errors='replace')[-2000:]}")

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process is not None and self._process.poll() is None

    def usage(self) -> Usage:
        """Return what the server and its children have used so far, from /proc."""
        cpu, rss, waited = 0.0, 0, 0.0
        for member in self._family():
            try:
                times = member.cpu_times()
                cpu += times.user + times.system
                rss += member.memory_info().rss
                waited += _waited(member.pid)
            except psutil.NoSuchProcess:
                continue
        return Usage(cpu, rss, waited)

    def _family(self) -> list[psutil.Process]:
        if self._process is None:
            return []
        try:
            parent = psutil.Process(self._process.pid)
            return [parent, *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []


def _waited(pid: int) -> float:
    total = 0.0
    for statistics in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # the thread has just ended
            total += int(statistics.read_text().split()[1]) / 1e9
    return total
