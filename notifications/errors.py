"""What sending can fail with: one tree under ``NotificationError``; no text in it ever holds a message's body."""

from __future__ import annotations

from collections.abc import Sequence


class NotificationError(Exception):
    """Root of all errors of this package."""


class InvalidMessage(NotificationError, ValueError):
    """The message was refused before it was sent; the text says what was wrong and what is allowed."""


class NotConfigured(NotificationError):
    """There is no usable Redis URL."""


class RedisUnavailable(NotificationError):
    """Redis could not be reached, or did not answer in time; whether the message was taken is not known.

    Sending again with the same ``id`` is safe: it is delivered once.
    """


class RedisRefused(NotificationError):
    """Redis answered with an error (no memory, read-only replica, no permission)."""

    def __init__(self, message: str, failed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.failed = tuple(failed)
        """Ids of the messages that were refused; of ``send_many`` the others were sent."""
