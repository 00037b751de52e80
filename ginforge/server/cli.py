"""``python -m ginforge.server``: every Daphne flag, and ours."""

import inspect
import logging
import resource
import sys
from typing import Any

from asgiref.sync import markcoroutinefunction
from daphne.cli import CommandLineInterface

from ginforge.server.options import Options
from ginforge.server.server import GatewayServer
from ginforge.server.workers import run_workers


class GatewayCommandLine(CommandLineInterface):
    """Daphne's command line with our server and its flags."""

    description = "ASGI server for many WebSockets (Daphne with shared frames, bounded buffers and workers)"

    def __init__(self) -> None:
        super().__init__()
        self.server_class = self._server
        self.options = Options()
        self.parser.prog = "python -m ginforge.server"
        self.parser.set_defaults(
            ping_timeout=60,
            websocket_max_message_size=512 * 1024,
            websocket_max_frame_size=512 * 1024,
            websocket_connect_timeout=20,
            server_name="ginforge",
        )
        Options.add_flags(self.parser)

    def run(self, args: list[str]) -> None:
        """Serve until told to stop."""
        options = self.parser.parse_args(args)
        _raise_file_limit()
        if options.workers > 1:
            if options.socket_strings:
                self.parser.error("--workers needs --port, --unix-socket or --fd, not --endpoint")
            logging.basicConfig(level=logging.INFO if options.verbosity else logging.WARNING, format=options.log_fmt)
            sys.exit(run_workers(args, drain_timeout=options.drain_timeout))
        self.options = Options.chosen(options)
        super().run(args)

    def load_asgi_app(self, asgi_app_path: str) -> Any:
        """Return the imported application; a plain function of three arguments may return the coroutine.

        Asgiref would take such a function for an ASGI 2 application.
        """
        application = super().load_asgi_app(asgi_app_path)
        if inspect.isfunction(application) and len(inspect.signature(application).parameters) == 3:
            markcoroutinefunction(application)
        return application

    def _server(self, **kwargs: Any) -> GatewayServer:
        return GatewayServer(**kwargs, options=self.options)


def _raise_file_limit() -> None:
    """Allow as many open files, and so connections, as the system lets us: many shells begin with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1 << 20 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
