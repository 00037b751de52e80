"""Several server processes on one listening socket, kept running by a master that serves nothing itself.

The workers inherit the socket. With SO_REUSEPORT each would have a queue of its own, and the connections waiting in it
would be reset whenever its worker dies or drains; from one queue the others simply take them, and a busy worker takes
fewer.
"""

import argparse
import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ginforge.lifeline import die_with_parent
from ginforge.server import balance
from ginforge.supervisor.restarts import Deaths, RestartPolicy

logger = logging.getLogger(__name__)

METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"
# Beyond the workers' own drain timeout.
_PATIENCE = 3.0


class Master:
    """Runs ``count`` workers with ``arguments`` on ``listening`` until told to stop."""

    def __init__(self, count: int, arguments: Sequence[str], listening: socket.socket, *, drain_timeout: float) -> None:
        self.count = count
        self.command = [sys.executable, "-m", "ginforge.server", *arguments, f"--fd={listening.fileno()}"]
        self.listening = listening
        self.drain_timeout = drain_timeout
        self.stopping = asyncio.Event()
        self.memory = balance.shared_memory(count)
        self.balance = balance.Balance(self.memory, -1, count)
        self.processes: dict[int, asyncio.subprocess.Process] = {}

    async def run(self) -> int:
        """Return the exit code: 0 after a stop that was asked for, 1 when a worker dies too often."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        keepers = [asyncio.create_task(self._keep(index)) for index in range(self.count)]
        asked = asyncio.create_task(self.stopping.wait())
        done, _ = await asyncio.wait([asked, *keepers], return_when=asyncio.FIRST_COMPLETED)
        gave_up = asked not in done
        self.stopping.set()
        self.listening.close()
        self._signal_all(signal.SIGTERM)
        _, alive = await asyncio.wait(keepers, timeout=self.drain_timeout + _PATIENCE)
        if alive:
            logger.warning("%d workers did not end in time and are killed", len(alive))
            self._signal_all(signal.SIGKILL)
            await asyncio.wait(alive)
        return 1 if gave_up else 0

    async def _keep(self, index: int) -> None:
        deaths = Deaths(RestartPolicy())
        while not self.stopping.is_set():
            process = await self._start(index)
            code = await process.wait()
            del self.processes[index]
            self.balance.forget(index)
            _forget_metrics(process.pid)
            if self.stopping.is_set():
                return
            pause = deaths.record(time.monotonic())
            if pause is None:
                logger.error("worker %d died too often, giving up", index)
                return
            logger.warning("worker %d ended (%d), starting it again in %.1f s", index, code, pause)
            try:
                await asyncio.wait_for(self.stopping.wait(), pause)
            except TimeoutError:
                continue

    async def _start(self, index: int) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *self.command,
            env={**os.environ, balance.ENVIRONMENT: f"{self.memory}:{index}:{self.count}"},
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=[self.listening.fileno(), self.memory],
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        self.processes[index] = process
        return process

    def _signal_all(self, number: int) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                process.send_signal(number)


def split_arguments(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Split off what concerns the listening socket and the workers; the rest is for each worker."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("-p", "--port", type=int)
    parser.add_argument("-b", "--bind", dest="host")
    parser.add_argument("-u", "--unix-socket")
    parser.add_argument("--fd", type=int)
    parser.add_argument("--backlog", type=int, default=4096)
    return parser.parse_known_args(list(arguments))


def listen(options: argparse.Namespace) -> socket.socket:
    """Return a listening socket for the options of the command line; raises OSError."""
    if options.fd is not None:
        listening = socket.socket(fileno=options.fd)
    elif options.unix_socket:
        Path(options.unix_socket).unlink(missing_ok=True)
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(options.unix_socket)
    else:
        host = (options.host or "127.0.0.1").strip("[]")
        port = 8000 if options.port is None else options.port
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, proto)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    listening.listen(options.backlog)
    listening.setblocking(False)
    return listening


def run_workers(arguments: Sequence[str], *, drain_timeout: float) -> int:
    """Serve with the workers that the command line asks for and return the exit code."""
    options, rest = split_arguments(arguments)
    directory = _prepare_metrics()
    try:
        listening = listen(options)
        logger.info("listening on %s with %d workers", _name(listening), options.workers)
        return asyncio.run(Master(options.workers, rest, listening, drain_timeout=drain_timeout).run())
    finally:
        if directory is not None:
            shutil.rmtree(directory, ignore_errors=True)


def _name(listening: socket.socket) -> Any:
    name = listening.getsockname()
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else name


def _prepare_metrics() -> str | None:
    """Give the workers one directory for their metrics; return it if it is ours to remove.

    It has to be in the environment before prometheus_client is imported, and empty at the start: files of processes
    that are long gone would still be counted.
    """
    directory = os.environ.get(METRICS_DIR)
    if directory is None:
        directory = os.environ[METRICS_DIR] = tempfile.mkdtemp(prefix="ginforge-metrics-")
        return directory
    Path(directory).mkdir(parents=True, exist_ok=True)
    for old in Path(directory).glob("*.db"):
        old.unlink(missing_ok=True)
    return None


def _forget_metrics(pid: int) -> None:
    try:
        from prometheus_client import multiprocess
    except ImportError:
        return
    multiprocess.mark_process_dead(pid)
