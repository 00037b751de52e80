"""``python -m ginforge.server``: every Daphne flag, and ours."""

import argparse
import inspect
import logging
import sys
from typing import Any

from asgiref.sync import markcoroutinefunction
from daphne.cli import CommandLineInterface

from ginforge.server.server import BACKLOG, MAX_HEAD, GatewayServer
from ginforge.server.workers import run_workers


class GatewayCommandLine(CommandLineInterface):
    """Daphne's command line with our server and its flags."""

    description = "ASGI server for many WebSockets (Daphne with shared frames, bounded buffers and workers)"

    def __init__(self) -> None:
        super().__init__()
        self.server_class = self._server
        self.extra: dict[str, Any] = {}
        self.parser.prog = "python -m ginforge.server"
        self.parser.set_defaults(
            ping_timeout=60,
            websocket_max_message_size=512 * 1024,
            websocket_max_frame_size=512 * 1024,
            websocket_connect_timeout=20,
            server_name="ginforge",
        )
        group = self.parser.add_argument_group("beyond Daphne")
        group.add_argument("--workers", type=int, default=1, help="processes on the one listening socket")
        group.add_argument("--write-limit", type=int, default=1 << 20, help="bytes that may wait for one peer")
        group.add_argument("--close-timeout", type=float, default=5, help="seconds for a peer to answer a close frame")
        group.add_argument("--drain-timeout", type=float, default=10, help="seconds in all for a graceful end")
        group.add_argument("--max-pending", type=int, default=10_000, help="connections that may be in their handshake")
        group.add_argument("--request-timeout", type=int, default=20, help="seconds for a request's head to come")
        group.add_argument("--max-head", type=int, default=MAX_HEAD, help="bytes of a request's head")
        group.add_argument("--backlog", type=int, default=BACKLOG, help="length of the listen queue")

    def run(self, args: list[str]) -> None:
        """Serve until told to stop."""
        options = self.parser.parse_args(args)
        if options.workers > 1:
            if options.socket_strings:
                self.parser.error("--workers needs --port, --unix-socket or --fd, not --endpoint")
            logging.basicConfig(level=logging.INFO if options.verbosity else logging.WARNING, format=options.log_fmt)
            sys.exit(run_workers(args, drain_timeout=options.drain_timeout))
        self._choose_extra(options)
        super().run(args)

    def load_asgi_app(self, asgi_app_path: str) -> Any:
        """Return the imported application; a plain function of three arguments may return the coroutine.

        Asgiref would take such a function for an ASGI 2 application.
        """
        application = super().load_asgi_app(asgi_app_path)
        if inspect.isfunction(application) and len(inspect.signature(application).parameters) == 3:
            markcoroutinefunction(application)
        return application

    def _choose_extra(self, known: argparse.Namespace) -> None:
        names = (
            "write_limit",
            "close_timeout",
            "drain_timeout",
            "max_pending",
            "request_timeout",
            "max_head",
            "backlog",
        )
        self.extra = {name: getattr(known, name) for name in names}

    def _server(self, **kwargs: Any) -> GatewayServer:
        return GatewayServer(**kwargs, **self.extra)
