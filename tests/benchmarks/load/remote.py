"""The orchestrator's side of a load process."""

from __future__ import annotations

import multiprocessing
from types import TracebackType
from typing import Any, Self

from tests.benchmarks.load.worker import serve
from tests.benchmarks.peers.base import Route


class LoadFailed(RuntimeError):
    """A measure failed in the load process; the message holds its traceback."""


class RemoteLoad:
    """A load process; a context manager. ``call`` runs one of ``worker.COMMANDS`` there."""

    def __init__(self, route: Route, *, name: str, urgent: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, route, name, urgent), name=name, daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def call(self, command: str, *, timeout: float = 300.0, **arguments: Any) -> dict[str, Any]:
        """Run a command and return its figures; raises ``LoadFailed`` when it fails or takes too long."""
        self._pipe.send((command, arguments))
        if not self._pipe.poll(timeout):
            raise LoadFailed(f"{command} took longer than {timeout:.0f} s")
        try:
            done, answer = self._pipe.recv()
        except EOFError:
            raise LoadFailed(f"the load process died during {command}") from None
        if not done:
            raise LoadFailed(answer)
        result: dict[str, Any] = answer
        return result
