"""Where the queue is: Redis, under a prefix of its own."""

from __future__ import annotations

from typing import Final

KEY_PREFIX: Final = "ginforge:celery:"
QUEUE: Final = "celery"
QUEUE_KEY: Final = KEY_PREFIX + QUEUE
"""Redis list with the messages that no worker has taken."""
UNACKED_KEY: Final = KEY_PREFIX + "unacked"
"""Hash of the messages that workers hold."""


def broker_address(url: str) -> str:
    """Return a Redis URL as kombu wants it: ``unix://`` is called ``redis+socket://`` there."""
    if not url.startswith("unix://"):
        return url
    address, _, query = url.partition("?")
    database = next((part[3:] for part in query.split("&") if part.startswith("db=")), "0")
    return f"redis+socket://{address.removeprefix('unix://')}?virtual_host={database}"
