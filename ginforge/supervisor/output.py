"""The supervisor's own output: one prefix per child, in colour on a terminal."""

from __future__ import annotations

import os
import sys
from typing import Final, TextIO

_COLOURS: Final = {"gateway": "36", "bridge": "35", "valkey": "33", "worker": "34", "supervisor": "32"}


class PrefixedOutput:
    """Writes ``name | line``; colours the prefix when the stream is a terminal and ``NO_COLOR`` is unset."""

    def __init__(self, stream: TextIO | None = None, *, width: int = 10) -> None:
        self._stream = stream or sys.stdout
        self._width = width
        self._colour = self._stream.isatty() and "NO_COLOR" not in os.environ

    def line(self, name: str, text: str) -> None:
        """Write one line of the child ``name``; a reader that went away is ignored."""
        prefix = f"{name:<{self._width}} |"
        if self._colour:
            prefix = f"\x1b[{_COLOURS.get(name, '37')}m{prefix}\x1b[0m"
        self.plain(f"{prefix} {text}")

    def plain(self, text: str) -> None:
        """Write text as it is."""
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (BrokenPipeError, OSError):
            pass
