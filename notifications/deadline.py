"""A hard deadline for blocking Redis calls.

redis-py's timeouts hold for one system call each; a call that checks the connection's health, reconnects and retries
adds them up. Here every system call gets what is left of the whole call's time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from redis import connection
from redis.retry import Retry

_NO_TIME: Final = 0.001
"""What an exhausted deadline leaves: not zero, which would make a socket non-blocking."""

_deadline: ContextVar[float | None] = ContextVar("notifications_deadline", default=None)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Let no Redis call inside last longer than ``seconds`` in all."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining(limit: float) -> float:
    """Return the seconds left, at most ``limit``."""
    end = _deadline.get()
    return limit if end is None else max(_NO_TIME, min(limit, end - time.monotonic()))


def is_over() -> bool:
    """Tell whether the time is used up."""
    end = _deadline.get()
    return end is not None and time.monotonic() >= end


class DeadlineRetry(Retry):
    """Tries again only while there is time."""

    def call_with_retry(
        self,
        do: Callable[[], Any],
        fail: Any,
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Any:
        """Call ``do`` until it succeeds, the tries are used up or the time is over."""

        def worth_it(error: Exception) -> bool:
            return not is_over() and (is_retryable is None or is_retryable(error))

        return super().call_with_retry(do, fail, worth_it, with_failure_count)


class DeadlineSocket:
    """A socket that limits every call by the deadline; everything else is the socket's own."""

    __slots__ = ("_limit", "_socket")

    def __init__(self, sock: Any, limit: float) -> None:
        self._socket = sock
        self._limit = limit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def recv_into(self, *args: Any) -> Any:
        """Receive within the time left."""
        self._socket.settimeout(remaining(self._limit))
        return self._socket.recv_into(*args)

    def recv(self, *args: Any) -> Any:
        """Receive within the time left."""
        self._socket.settimeout(remaining(self._limit))
        return self._socket.recv(*args)

    def sendall(self, data: Any) -> None:
        """Send within the time left (for ``sendall`` Python counts the whole of it)."""
        self._socket.settimeout(remaining(self._limit))
        self._socket.sendall(data)


class DeadlineMixin:
    """Put before a connection class of redis-py."""

    _connect_limit: float = 2.0
    _limit: float = 5.0

    @property
    def socket_connect_timeout(self) -> float:
        """Time left to connect to one address."""
        return remaining(self._connect_limit)

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, value: float) -> None:
        self._connect_limit = value

    @property
    def socket_timeout(self) -> float:
        """Time left for a system call."""
        return remaining(self._limit)

    @socket_timeout.setter
    def socket_timeout(self, value: float) -> None:
        self._limit = value

    def _connect(self) -> DeadlineSocket:
        sock = super()._connect()  # type: ignore[misc]  # the connection class behind this mixin has it
        return DeadlineSocket(sock, self._limit)


def connection_class(url: str) -> type[connection.AbstractConnection]:
    """Return a connection class with deadline for a Redis URL; raises ``ValueError`` for what is no such URL."""
    options: dict[str, Any] = connection.parse_url(url)  # type: ignore[no-untyped-call]  # redis-py
    base = options.get("connection_class", connection.Connection)
    return type(f"Deadline{base.__name__}", (DeadlineMixin, base), {})
