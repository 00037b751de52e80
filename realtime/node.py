"""What one gateway process tells the cluster about itself."""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realtime import metrics

if TYPE_CHECKING:
    from realtime.hub import Hub


class NodeInfo:
    """Builds the entry of this process in the list of nodes."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._started = time.time()
        self._version = _version()

    def build(self) -> dict[str, Any]:
        """Return the entry: counts, memory in bytes, times in Unix seconds."""
        hub = self._hub
        metrics.live_connections.set(len(hub.connections))
        metrics.live_users.set(hub.users)
        metrics.live_rooms.set(hub.rooms)
        buffered = hub.buffered_bytes()
        metrics.buffered_bytes.set(buffered)
        return {
            "node": hub.node,
            "version": self._version,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": self._started,
            "at": time.time(),
            "clients": len(hub.connections),
            "users": hub.users,
            "rooms": hub.rooms,
            "memory": _resident_bytes(),
            "buffered": buffered,
            "draining": hub.draining,
        }


def _version() -> str:
    try:
        return version("ginforge-realtime")
    except PackageNotFoundError:
        return "dev"


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
