"""The mark inside each test message, found again whatever a gateway wraps around it."""

from __future__ import annotations

import time
from typing import Final, NamedTuple

_START: Final = b"@lt:"
_END: Final = b"@"


class Mark(NamedTuple):
    """Where a test message belongs: run, stream, its number in that stream (from 1), and when it was sent."""

    run: bytes
    stream: bytes
    sequence: int
    sent_ns: int
    """``time.perf_counter_ns`` of the sender; comparable between processes of one Linux machine."""


def make_mark(run: str, stream: str, sequence: int, *, size: int = 0) -> str:
    """Return the content of a test message, sent now, padded to ``size`` characters.

    ``run`` and ``stream`` must be free of ``:``, ``@`` and anything that JSON escapes.
    """
    text = f"@lt:{run}:{stream}:{sequence}:{time.perf_counter_ns()}@"
    return text.ljust(size, ".")


def find_mark(payload: bytes) -> Mark | None:
    """Return the mark in a received text, or None when it is not a test message."""
    start = payload.find(_START)
    if start < 0:
        return None
    end = payload.find(_END, start + 1)
    parts = payload[start + len(_START) : end].split(b":")
    if end < 0 or len(parts) != 4:
        return None
    try:
        return Mark(parts[0], parts[1], int(parts[2]), int(parts[3]))
    except ValueError:
        return None
