"""When a dead child is started again, and when it is given up; pure."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """Backoff doubles from ``base`` to ``cap`` seconds; ``limit`` deaths within ``window`` seconds are the end."""

    limit: int = 5
    window: float = 60.0
    base: float = 0.25
    cap: float = 5.0


class Deaths:
    """The recent deaths of one child."""

    def __init__(self, policy: RestartPolicy) -> None:
        self._policy = policy
        self._times: deque[float] = deque()

    def record(self, now: float, chance: float | None = None) -> float | None:
        """Note a death at ``now`` and return the seconds to wait before a restart; None means give up.

        ``chance`` in [0, 1) spreads the wait between half and the whole of the backoff.
        """
        policy = self._policy
        self._times.append(now)
        while now - self._times[0] > policy.window:
            self._times.popleft()
        if len(self._times) >= policy.limit:
            return None
        backoff: float = min(policy.cap, policy.base * 2 ** (len(self._times) - 1))
        spread = random.random() if chance is None else chance
        return backoff * (0.5 + spread / 2)
