"""What the server has for an application that has not asked for it yet."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

Event = dict[str, Any]


class Inbox:
    """A queue of ASGI events with one reader, a quarter of the size of ``asyncio.Queue``.

    ``on_read`` is called each time an event was taken out, with the number of events left.
    """

    __slots__ = ("_events", "_on_read", "_waiter")

    def __init__(self, on_read: Callable[[int], None] | None = None) -> None:
        self._events: deque[Event] | None = None
        self._on_read = on_read
        self._waiter: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._events) if self._events is not None else 0

    def put_nowait(self, event: Event) -> int:
        """Append an event and return how many are waiting now."""
        if self._events is None:
            self._events = deque()
        self._events.append(event)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return len(self._events)

    async def get(self) -> Event:
        """Wait for the next event; raises RuntimeError when somebody else is waiting already."""
        while self._events is None:
            if self._waiter is not None and not self._waiter.done():
                raise RuntimeError("receive() is already being awaited on this connection")
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        event = self._events.popleft()
        left = len(self._events)
        if not left:
            # An empty deque keeps 600 bytes; most connections are silent most of the time.
            self._events = None
        if self._on_read is not None:
            self._on_read(left)
        return event

    def abandon(self) -> None:
        """Forget the owner: nobody will read any more. Ends the reference cycle with it."""
        self._on_read = None

    def take_all(self) -> list[Event]:
        """Remove and return every waiting event."""
        events, self._events = self._events, None
        return list(events or ())
