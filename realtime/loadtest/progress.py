"""A live line while the test runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress


class Bar(Protocol):
    """One phase's bar."""

    def update(self, done: float, state: str) -> None:
        """Show how much is done, and a few words."""


class Progress(Protocol):
    """Where the test reports what it does."""

    def phase(self, name: str, total: float) -> contextlib.AbstractContextManager[Bar]:
        """Start a phase of ``total`` steps."""


class LiveProgress:
    """A bar on the terminal (standard error); elsewhere one line per phase, at its end."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)

    @contextlib.contextmanager
    def phase(self, name: str, total: float) -> Iterator[Bar]:
        """Show a bar until the phase ends."""
        columns = (TextColumn("{task.description:<10}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        with RichProgress(*columns, TextColumn("{task.fields[state]}"), console=self._console) as live:
            task = live.add_task(name, total=total, state="")

            class RichBar:
                def update(self, done: float, state: str) -> None:
                    live.update(task, completed=done, state=state)

            yield RichBar()


class NoProgress:
    """For ``--quiet`` callers and tests."""

    @contextlib.contextmanager
    def phase(self, name: str, total: float) -> Iterator[Bar]:  # noqa: ARG002 (the protocol's signature)
        """Show nothing."""

        class Nothing:
            def update(self, done: float, state: str) -> None:
                """Show nothing."""

        yield Nothing()
