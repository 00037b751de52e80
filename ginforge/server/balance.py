"""Fair shares of the connections for workers that accept from one queue.

The kernel wakes every worker for a new connection, and the same one tends to come first: of 1,000 clients that connect
one after the other it takes 950. So a worker that is ahead of another looks away for a moment.
"""

import asyncio
import mmap
import os
import time
from collections.abc import Callable
from typing import Any, Final

ENVIRONMENT: Final = "GINFORGE_BALANCE"
"""``<file descriptor>:<index of this worker>:<number of workers>``, set by the master."""

_SLACK: Final = 16
_ASIDE_SECONDS: Final = 0.005
# A worker that has not shown itself for so long, in nanoseconds, does not count: it may be stopped or gone.
_STALE: Final = 2_500_000_000


class Balance:
    """The numbers of connections of all workers, in a few bytes of memory that they share."""

    def __init__(self, descriptor: int, index: int, workers: int) -> None:
        self._index = index
        self._others = [other for other in range(workers) if other != index]
        self._workers = workers
        self._table = memoryview(mmap.mmap(descriptor, workers * 16)).cast("q")

    @classmethod
    def from_environment(cls) -> "Balance | None":
        """Return the balance that the master has set up, or None without one."""
        value = os.environ.get(ENVIRONMENT)
        return cls(*(int(part) for part in value.split(":"))) if value else None

    def show(self, connections: int) -> None:
        """Tell the others how many connections this worker has; to be repeated every second."""
        self._table[self._index] = connections
        self._table[self._workers + self._index] = time.monotonic_ns()

    def forget(self, index: int) -> None:
        """Note that a worker has ended."""
        self._table[self._workers + index] = 0

    def is_ahead(self, connections: int) -> bool:
        """Tell whether a worker with so many connections should leave the next ones to another."""
        since = time.monotonic_ns() - _STALE
        alive = [self._table[other] for other in self._others if self._table[self._workers + other] > since]
        return bool(alive) and connections > min(alive) + max(_SLACK, connections // 32)


class Share:
    """Keeps one worker to its share: it does not accept while it is ahead."""

    def __init__(self, balance: Balance, loop: asyncio.AbstractEventLoop, connections: Callable[[], int]) -> None:
        self._balance = balance
        self._loop = loop
        self._connections = connections
        self._aside = False
        self.ports: list[Any] = []

    def check(self) -> None:
        """Show the others how many connections there are, and look away if they are too many."""
        connections = self._connections()
        self._balance.show(connections)
        if not self._aside and self._balance.is_ahead(connections):
            self._aside = True
            for port in self.ports:
                port.stopReading()
            self._loop.call_later(_ASIDE_SECONDS, self._come_back)

    def _come_back(self) -> None:
        connections = self._connections()
        self._balance.show(connections)
        if self._balance.is_ahead(connections):
            self._loop.call_later(_ASIDE_SECONDS, self._come_back)
            return
        self._aside = False
        for port in self.ports:
            if port.connected and not port.disconnecting:
                port.startReading()


def shared_memory(workers: int) -> int:
    """Return the descriptor of memory for so many workers."""
    descriptor = os.memfd_create("ginforge-balance")
    os.ftruncate(descriptor, workers * 16)
    return descriptor
