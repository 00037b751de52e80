"""``manage.py runbridge``: brings what other services publish in Redis to the gateways."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
from typing import Any

from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Runs one bridge until SIGTERM or Ctrl-C."""

    help = "Run one bridge between the Redis ingress and the gateways."

    def handle(self, *args: Any, **options: Any) -> None:
        asyncio.run(_run())


async def _run() -> None:
    from realtime.bridge.runner import Bridge

    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    bridge = Bridge(f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}")
    bridge.start()
    await stopping.wait()
    await bridge.stop()
