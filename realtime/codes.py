"""Close codes, error codes and the exception tree of the gateway, each in one table (DESIGN 2.2)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class CloseCode(IntEnum):
    """Why the server closed a WebSocket; 1xxx from RFC 6455 section 7.4.1, 4xxx are ours."""

    NORMAL = 1000
    GOING_AWAY = 1001
    UNSUPPORTED_DATA = 1003
    BAD_UTF8 = 1007
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    RESTARTING = 1012
    TRY_AGAIN_LATER = 1013
    UNAUTHORIZED = 4401
    FORBIDDEN = 4403
    HEARTBEAT = 4408
    TOO_MANY_CONNECTIONS = 4409
    RATE = 4429


TERMINAL_CLOSE_CODES: Final = frozenset(
    {
        CloseCode.UNSUPPORTED_DATA,
        CloseCode.BAD_UTF8,
        CloseCode.TOO_BIG,
        CloseCode.UNAUTHORIZED,
        CloseCode.FORBIDDEN,
        CloseCode.TOO_MANY_CONNECTIONS,
        CloseCode.RATE,
    }
)
"""Codes after which a client must not reconnect on its own with the same token and behaviour."""


class ErrorCode(IntEnum):
    """``content.code`` of an ``error`` frame; the numbers mean what they mean in HTTP."""

    MALFORMED = 400
    UNAUTHORIZED = 401
    FORBIDDEN = 403
    TOO_LARGE = 413
    INVALID = 422
    RATE = 429
    INTERNAL = 500
    UNAVAILABLE = 503


class RealtimeError(Exception):
    """Root of every exception this package raises on purpose."""


class ProtocolError(RealtimeError):
    """A message that is refused; ``code`` and ``message`` go to the sender as an ``error`` frame.

    ``limit`` names the limit that was passed, for the metrics.
    """

    def __init__(self, code: ErrorCode, message: str, *, limit: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.limit = limit


class LimitReached(RealtimeError):
    """A connection that would be one too many; ``limit`` names which limit, for the metrics."""

    def __init__(self, limit: str) -> None:
        super().__init__(f"limit reached: {limit}")
        self.limit = limit


class Unavailable(RealtimeError):
    """Redis is not reachable, or answered too late; the operation may be tried again."""


class RedisReplyError(RealtimeError):
    """Redis answered a command with an error."""
