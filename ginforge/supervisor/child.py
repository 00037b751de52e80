"""One supervised process: spawn, forward its lines, stop its whole process group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ginforge.lifeline import die_with_parent

MAX_LINE: Final = 16_384
LAST_LINES: Final = 20
GRACE_SECONDS: Final = 10.0

WriteLine = Callable[[str, str], None]
"""Receives (child's name, one line without its end)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run as a child; ``env`` is its whole environment."""

    name: str
    arguments: Sequence[str]
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cwd: str | None = None


class Child:
    """One life of one command, in a session of its own so that a terminal's Ctrl-C reaches the supervisor alone."""

    def __init__(self, command: Command, write: WriteLine) -> None:
        self.command = command
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._write = write
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Process id, None before the start."""
        return self._process.pid if self._process else None

    async def run(self) -> int:
        """Start the process, forward its output and return its exit code (negative: killed by that signal)."""
        self._process = await asyncio.create_subprocess_exec(
            *self.command.arguments,
            env=dict(self.command.env),
            cwd=self.command.cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
        forward = asyncio.create_task(self._forward(self._process.stdout))
        try:
            code = await self._process.wait()
            # A grandchild may hold the pipe open for ever; what was written before the end is there at once.
            await asyncio.wait([forward], timeout=0.5)
            return code
        finally:
            forward.cancel()
            self._signal_group(signal.SIGKILL)

    async def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Ask the process group to end (SIGTERM), and kill what is left after ``grace`` seconds."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._signal_group(signal.SIGTERM)
            try:
                async with asyncio.timeout(grace):
                    await self._process.wait()
            except TimeoutError:
                pass
        self._signal_group(signal.SIGKILL)

    def kill(self) -> None:
        """Kill the process group now."""
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _forward(self, output: asyncio.StreamReader | None) -> None:
        pending = b""
        while output and (chunk := await output.read(65_536)):
            *lines, pending = (pending + chunk).split(b"\n")
            for line in lines:
                self._line(line)
            if len(pending) > MAX_LINE:
                self._line(pending)
                pending = b""
        if pending:
            self._line(pending)

    def _line(self, raw: bytes) -> None:
        line = raw[:MAX_LINE].decode(errors="replace").rstrip("\r")
        self.last_lines.append(line)
        self._write(self.command.name, line)
