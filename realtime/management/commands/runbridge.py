"""``manage.py runbridge``: brings what other services publish in Redis to the gateways."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _

from realtime.bridge.health import HealthServer
from realtime.bridge.runner import Bridge

logger = logging.getLogger(__name__)

HELP = """
Run one bridge: it reads what services publish in Redis (PUBLISH websocket:broadcast | user:<id> | room:<room> |
notification:<id>, or XADD ginforge:ingress channel … message …), and puts it into the streams of the gateways.

Start two for high availability: one is active, the other a hot standby that takes over at once when the first stops
(SIGTERM), and within bridge_lease seconds when it dies. It waits for a Redis that is not there, and reconnects for
ever. What cannot be delivered is kept in the stream ginforge:deadletters.
"""


class Command(BaseCommand):
    """Runs one bridge until SIGTERM or Ctrl-C; a second signal ends it at once."""

    help = HELP

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--metrics-port",
            type=int,
            metavar="PORT",
            help=_("serve /metrics, /healthz and /readyz on this port (0: any free one, see the log)"),
        )
        parser.add_argument(
            "--metrics-host", default="127.0.0.1", metavar="HOST", help=_("address for --metrics-port (%(default)s)")
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # asyncio's own loop: uvloop saves nothing here (22 µs of CPU per message with either), because one read brings
        # hundreds of messages.
        asyncio.run(_run(options["metrics_host"], options["metrics_port"]))


async def _run(metrics_host: str, metrics_port: int | None) -> None:
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            os._exit(130)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    bridge = Bridge()
    health = _serve_health(bridge, metrics_host, metrics_port)
    bridge.start()
    gc.collect()
    gc.freeze()  # what Django loaded stays; no collection needs to look at it again
    await stopping.wait()
    await bridge.stop()
    if health is not None:
        health.close()


def _serve_health(bridge: Bridge, host: str, port: int | None) -> HealthServer | None:
    if port is None:
        return None
    server = HealthServer(host, port, bridge.state)
    logger.info("health served", extra={"address": f"http://{host}:{server.port}/"})
    return server
