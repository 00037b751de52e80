"""Where the embedded Valkey of ``make run`` keeps its data."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from pathlib import Path
from typing import Any


class DataDirectory:
    """The embedded Valkey's data: kept between runs; a second run at the same time gets a temporary one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: Any = None
        self._temporary: str | None = None

    def __enter__(self) -> Path:
        self._path.mkdir(parents=True, exist_ok=True)
        self._lock = (self._path / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._temporary = tempfile.mkdtemp(prefix="ginforge-valkey-")
            return Path(self._temporary)
        return self._path

    def __exit__(self, *details: object) -> None:
        self._lock.close()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)
