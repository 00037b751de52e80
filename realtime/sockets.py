"""How a frame gets to a client: straight through our server, or through any ASGI server's ``send``."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Final, Protocol

from realtime.codes import CloseCode

EXTENSION: Final = "ginforge.direct"
"""Name in ``scope["extensions"]``; docs/direct-socket.md describes it for other servers."""

Frame = Any
AsgiSend = Callable[[dict[str, Any]], Awaitable[None]]


class DirectSocket(Protocol):
    """What a server offers under ``scope["extensions"]["ginforge.direct"]``."""

    def make_frame(self, text: bytes) -> Frame:
        """Build one frame that all recipients share."""

    def send_frame(self, frame: Frame) -> None:
        """Write without blocking; a no-op on a closed connection."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes the kernel has not taken yet."""

    def set_receiver(self, callback: Callable[[bytes], None] | None) -> None:
        """Have text messages passed to ``callback`` in place of the ASGI receive queue."""

    def pause_reading(self) -> None:
        """Stop reading from the client."""

    def resume_reading(self) -> None:
        """Read again."""

    def close(self, code: int, reason: str = "") -> None:
        """Send what is buffered and a close frame."""


class AsgiSocket:
    """A ``DirectSocket`` on top of ASGI ``send``.

    A send is stepped once without a task, which is all most servers need; only one that would block becomes a task,
    so that one slow client never holds up the others.
    """

    __slots__ = ("_buffered", "_limit", "_queue", "_send", "_task", "closed")

    def __init__(self, send: AsgiSend, limit: int) -> None:
        self._send = send
        self._limit = limit
        self._queue: deque[dict[str, Any]] = deque()
        self._buffered = 0
        self._task: asyncio.Task[None] | None = None
        self.closed = False

    @staticmethod
    def make_frame(text: bytes) -> Frame:
        """Build the ASGI event that all recipients share."""
        return {"type": "websocket.send", "text": text.decode()}

    def send_frame(self, frame: Frame) -> None:
        """Send now, or queue behind what is still being sent; past the limit, close with 1013."""
        if self.closed:
            return
        if self._task is not None:
            self._buffered += len(frame["text"])
            if self._buffered > self._limit:
                self._queue.clear()
                self.close(CloseCode.TRY_AGAIN_LATER, "slow consumer")
            else:
                self._queue.append(frame)
            return
        self._start(frame)

    @property
    def buffered_bytes(self) -> int:
        """Characters that wait in the queue."""
        return self._buffered

    def set_receiver(self, callback: Callable[[bytes], None] | None) -> None:
        """Do nothing: plain ASGI has only ``receive``."""

    def pause_reading(self) -> None:
        """Do nothing: whoever calls ``receive`` sets the pace."""

    def resume_reading(self) -> None:
        """Do nothing."""

    def close(self, code: int, reason: str = "") -> None:
        """Close behind what is queued."""
        if self.closed:
            return
        self.closed = True
        event = {"type": "websocket.close", "code": int(code), "reason": reason}
        if self._task is not None:
            self._queue.append(event)
        else:
            self._start(event)

    def _start(self, event: dict[str, Any]) -> None:
        coroutine = self._send(event)
        assert isinstance(coroutine, Coroutine)
        try:
            waiting = coroutine.send(None)
        except StopIteration:
            return
        except Exception:  # noqa: BLE001  # servers raise what they like when the peer has gone
            self.closed = True
            if event.get("code", CloseCode.NORMAL) != CloseCode.NORMAL:
                # Stock Daphne sends no code between 1001 and 2999, and would leave the connection open.
                self._start({"type": "websocket.close", "code": int(CloseCode.NORMAL)})
            return
        self._task = asyncio.get_running_loop().create_task(self._finish(_Rest(coroutine, waiting)))

    async def _finish(self, rest: Awaitable[None]) -> None:
        try:
            await rest
            while self._queue:
                event = self._queue.popleft()
                self._buffered -= len(event.get("text", ""))
                await self._send(event)
        except Exception:  # noqa: BLE001  # servers raise what they like when the peer has gone
            self.closed = True
            self._queue.clear()
        finally:
            self._task = None


class _Rest:
    """Awaits what is left of a coroutine that has been stepped once."""

    __slots__ = ("_coroutine", "_waiting")

    def __init__(self, coroutine: Coroutine[Any, Any, None], waiting: Any) -> None:
        self._coroutine = coroutine
        self._waiting = waiting

    def __await__(self) -> Generator[Any, Any, None]:
        waiting = self._waiting
        while True:
            try:
                yield waiting
            except BaseException as error:  # noqa: BLE001  # passed on into the coroutine
                step = self._throw(error)
            else:
                step = self._step()
            if step is _DONE:
                return
            waiting = step

    def _step(self) -> Any:
        try:
            return self._coroutine.send(None)
        except StopIteration:
            return _DONE

    def _throw(self, error: BaseException) -> Any:
        try:
            return self._coroutine.throw(error)
        except StopIteration:
            return _DONE


_DONE: Final = object()


class Cork:
    """Holds a connection's frames back, in order, while its streams are being recovered.

    Past ``limit`` bytes ``on_full`` is called; without one the connection is closed with 1013, like any client that
    takes too long.
    """

    __slots__ = ("_left", "frames", "on_full", "socket")

    def __init__(self, socket: DirectSocket, limit: int) -> None:
        self.socket = socket
        self.frames: list[Frame] = []
        self.on_full: Callable[[], None] | None = None
        self._left = limit

    def make_frame(self, text: bytes) -> Frame:
        """Build a frame for the socket behind."""
        return self.socket.make_frame(text)

    def send_frame(self, frame: Frame) -> None:
        """Keep the frame."""
        if self._left < 0:
            return
        self._left -= len(frame["text"]) if isinstance(frame, dict) else len(frame)
        if self._left >= 0:
            self.frames.append(frame)
        elif self.on_full is not None:
            self.frames.append(frame)
            self.on_full()
        else:
            self.frames.clear()
            self.socket.close(CloseCode.TRY_AGAIN_LATER, "slow consumer")

    @property
    def buffered_bytes(self) -> int:
        """Bytes buffered in the socket behind."""
        return self.socket.buffered_bytes

    def set_receiver(self, callback: Callable[[bytes], None] | None) -> None:
        """Pass on."""
        self.socket.set_receiver(callback)

    def pause_reading(self) -> None:
        """Pass on."""
        self.socket.pause_reading()

    def resume_reading(self) -> None:
        """Pass on."""
        self.socket.resume_reading()

    def close(self, code: int, reason: str = "") -> None:
        """Pass on; what is held back is not sent."""
        self.socket.close(code, reason)
