"""The gateway alone: one or more processes serving HTTP and WebSocket on one port."""

import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from realtime.conf import get_settings


class Command(BaseCommand):
    """Runs ``python -m ginforge.server`` with the project's application and settings."""

    help = "Run the realtime gateway"
    # A server that is restarted at night must not wait for a database.
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=os.environ.get("HOST", "127.0.0.1"), help="address to listen on")
        parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8080")), help="port; 0 takes any")
        parser.add_argument("--workers", type=int, default=1, help="processes sharing the listening socket")
        parser.add_argument("--drain-timeout", type=float, default=10.0, help="seconds for a graceful end")
        parser.add_argument("--access-log", default=None, help="file for the access log, - for standard output")

    def handle(self, *_args: Any, **options: Any) -> None:
        # The server replaces this process: signals, exit code and memory are its own.
        path = os.pathsep.join(filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "ginforge.server", *server_arguments(options)]
        os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": path})  # noqa: S606  # no shell is wanted


def server_arguments(options: dict[str, Any]) -> list[str]:
    """Return the command line of ``ginforge.server`` for the command's options and ``settings.REALTIME``."""
    conf = get_settings()
    arguments = [
        f"--bind={options['host']}",
        f"--port={options['port']}",
        f"--workers={options['workers']}",
        f"--drain-timeout={options['drain_timeout']}",
        f"--ping-interval={conf.heartbeat}",
        f"--ping-timeout={conf.heartbeat_timeout}",
        f"--websocket-max-message-size={conf.max_message_size}",
        f"--websocket-max-frame-size={conf.max_message_size}",
        f"--write-limit={conf.write_limit}",
        f"--max-pending={conf.max_pending_handshakes}",
        f"--request-timeout={conf.handshake_timeout}",
        f"--max-head={conf.max_header_size}",
        f"--frame-rate={conf.frame_rate}",
        # The limit of a day is Daphne's; a gateway's connections last as long as their tokens.
        "--websocket_timeout=-1",
        "--verbosity=0",
    ]
    if options["access_log"]:
        arguments.append(f"--access-log={options['access_log']}")
    module, _, name = str(settings.ASGI_APPLICATION).rpartition(".")
    return [*arguments, f"{module}:{name}"]
