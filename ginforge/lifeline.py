"""Child processes that cannot outlive their parent, even one that was killed with SIGKILL."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from typing import Final

_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(death_signal: int = signal.SIGTERM) -> Callable[[], None]:
    """Return a ``preexec_fn`` that has the kernel send ``death_signal`` to the child when its parent dies.

    Linux only (prctl(2), PR_SET_PDEATHSIG); elsewhere the child is stopped only by an orderly parent.
    The parent is the thread that spawns, so spawn from a thread that stays.
    """
    parent = os.getpid()

    def prepare() -> None:
        if _LIBC is None:
            return
        _LIBC.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:  # died between fork and prctl
            os._exit(1)

    return prepare


def follow_parent(death_signal: int = signal.SIGTERM) -> None:
    """Have the kernel send ``death_signal`` to this process when its parent dies (Linux only)."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
