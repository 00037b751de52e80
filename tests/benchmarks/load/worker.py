"""The load process: one event loop, a crowd of clients, and the commands that measure."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any, Final

import uvloop

from tests.benchmarks.load import measures
from tests.benchmarks.load.scene import Scene
from tests.benchmarks.peers.base import Route
from tests.benchmarks.processes import raise_file_limit

COMMANDS: Final[dict[str, Callable[..., Awaitable[dict[str, Any]]]]] = {
    "connect": measures.connect,
    "broadcast": measures.broadcast,
    "keep_broadcasting": measures.keep_broadcasting,
    "stop_broadcasting": measures.stop_broadcasting,
    "unicast": measures.unicast,
    "rooms": measures.rooms,
    "bridge": measures.bridge,
    "slow_reader": measures.slow_reader,
    "close": measures.close,
}

_SWITCH: Final = 1e-4
"""Seconds. The thread that publishes may hold up the one that receives for so long: 5 ms by default."""


def serve(pipe: Connection, route: Route, name: str, urgent: bool) -> None:
    """Answer commands until the orchestrator closes the pipe; the target of the process."""
    raise_file_limit()
    if urgent:
        _hurry()
    gc.disable()  # a pause of ours would be read as one of the server's
    sys.setswitchinterval(_SWITCH)
    uvloop.run(_serve(pipe, Scene(route, name)))


async def _serve(pipe: Connection, scene: Scene) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            command, arguments = await loop.run_in_executor(None, pipe.recv)
        except (EOFError, OSError):
            return
        pipe.send(await _run(scene, command, arguments))


async def _run(scene: Scene, command: str, arguments: dict[str, Any]) -> tuple[bool, Any]:
    try:
        return True, await COMMANDS[command](scene, **arguments)
    except Exception:  # noqa: BLE001 (the orchestrator prints it)
        return False, traceback.format_exc()


def _hurry() -> None:
    """Take precedence over the other load process, whose work must not count as the server's latency."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return  # then the figure holds the client's share too, for all peers alike
