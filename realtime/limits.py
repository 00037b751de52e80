"""Token bucket for one connection's inbound messages."""

from __future__ import annotations


class TokenBucket:
    """Allow ``rate`` units a second with bursts up to ``burst``; the clock (seconds) is the caller's."""

    __slots__ = ("_at", "_tokens")

    def __init__(self, burst: float, now: float) -> None:
        self._tokens = burst
        self._at = now

    def take(self, now: float, rate: float, burst: float, cost: float = 1.0) -> bool:
        """Take ``cost`` units when there are enough; refill for the time since the last call first."""
        tokens = min(burst, self._tokens + (now - self._at) * rate)
        self._at = now
        if tokens < cost:
            self._tokens = tokens
            return False
        self._tokens = tokens - cost
        return True
