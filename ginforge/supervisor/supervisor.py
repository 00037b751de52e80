"""Keeps a set of child processes running until it is told to stop or one of them dies too often."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from ginforge.supervisor.child import Child, Command, WriteLine
from ginforge.supervisor.restarts import Deaths, RestartPolicy

NAME = "supervisor"


class ChildFailed(RuntimeError):
    """A child died too often; the message holds its exit code and last log lines."""


class Supervisor:
    """Runs commands side by side; later ones are stopped first.

    ``write`` gets every line of the children, and the supervisor's own under the name ``supervisor``.
    """

    def __init__(self, write: WriteLine, policy: RestartPolicy | None = None) -> None:
        self._write = write
        self._policy = policy or RestartPolicy()
        self._children: dict[str, Child] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = asyncio.Event()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def pids(self) -> dict[str, int | None]:
        """Process id of each child's present life."""
        return {name: child.pid for name, child in self._children.items()}

    def start(self, commands: Sequence[Command]) -> None:
        """Start further commands."""
        for command in commands:
            task = asyncio.create_task(self._keep(command), name=command.name)
            task.add_done_callback(self._note_failure)
            self._tasks[command.name] = task

    async def wait(self) -> None:
        """Wait until a child is given up, also one that is started later.

        Raises ``ChildFailed`` then.
        """
        await asyncio.shield(self._failure)

    async def stop(self) -> None:
        """Stop all children, the last started first, and return when every one is gone."""
        self._stopping.set()
        for name in reversed(self._tasks):
            if name in self._children:
                await self._children[name].stop()
            self._tasks[name].cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def kill(self) -> None:
        """Kill all children now."""
        self._stopping.set()
        for child in self._children.values():
            child.kill()

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failure.done():
            self._failure.set_exception(error)
            self._failure.exception()  # nobody may be waiting any more

    async def _keep(self, command: Command) -> None:
        deaths = Deaths(self._policy)
        while not self._stopping.is_set():
            child = self._children[command.name] = Child(command, self._write)
            try:
                code = await child.run()
            except OSError as error:
                raise ChildFailed(f"{command.name} cannot be started: {error}") from error
            if self._stopping.is_set():
                return
            pause = deaths.record(time.monotonic())
            if pause is None:
                raise ChildFailed(self._obituary(child, code))
            self._write(NAME, f"{command.name} ended ({_how(code)}), starting it again in {pause:.1f} s")
            await asyncio.sleep(pause)

    def _obituary(self, child: Child, code: int) -> str:
        lines = "\n".join(f"    {line}" for line in child.last_lines)
        return (
            f"{child.command.name} died {self._policy.limit} times within {self._policy.window:g} s "
            f"({_how(code)}); its last lines:\n{lines}"
        )


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by signal {-code}"
