from __future__ import annotations

from dataclasses import dataclass

from ginforge.server.runtime import Runtime


@dataclass(frozen=True)
class Slow:
    buffered_bytes: int


def test_what_waits_is_summed_over_all_slow_connections() -> None:
    runtime = Runtime()
    assert (runtime.buffered_bytes, runtime.slow_connections) == (0, 0)
    runtime.slow.update({Slow(10), Slow(32)})
    assert (runtime.buffered_bytes, runtime.slow_connections) == (42, 2)
