"""What a bridge tells about itself: counters, a heartbeat in Redis, and an HTTP page for probes and Prometheus."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

import msgspec
from prometheus_client import make_wsgi_app

from realtime import metrics
from realtime.keys import BRIDGES, INGRESS_STREAM
from realtime.link import RedisLink

HEARTBEAT: Final = 1.0
"""Seconds between two reports."""
_FORGOTTEN_AFTER: Final = 600
"""Seconds after which the report of a bridge that was killed is removed."""


class Counters(msgspec.Struct):
    """Messages since the start, by what became of them; plain integers, because each message counts here."""

    received: int = 0
    published: int = 0
    duplicate: int = 0
    refused: int = 0
    failed: int = 0
    offline: int = 0


class Report(msgspec.Struct, frozen=True):
    """State of one bridge, as it stands in ``keys.BRIDGES``; times in Unix seconds, ``lag`` in seconds.

    ``subscribed`` means that it hears what is published now, ``in_step`` of a standby that it could take over without
    loss; ``backlog`` counts the entries of the durable ingress.
    """

    id: str
    role: str
    subscribed: bool
    in_step: bool
    host: str
    pid: int
    started: float
    at: float
    lag: float
    backlog: int
    waiting: int
    buffered: int
    buffer_dropped: int
    dropped: int
    dead_letters: int
    counters: Counters


class Heartbeat:
    """Writes the report of one bridge to Redis and the counters to Prometheus."""

    def __init__(self, link: RedisLink, bridge_id: str) -> None:
        self.counters = Counters()
        self.started = time.time()
        self.latest: Report | None = None
        self._link = link
        self._id = bridge_id
        self._counted: dict[str, int] = {}
        self._decided = False
        self._backlog = 0

    def beat(self, **state: Any) -> None:
        """Report now: to Redis once this bridge has found its role, to Prometheus and the health page always.

        ``state`` holds the fields of the ``Report`` that change.
        """
        now = time.time()
        self.latest = Report(
            id=self._id,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=round(self.started, 3),
            at=round(now, 3),
            counters=self.counters,
            backlog=self._backlog,
            **state,
        )
        metrics.bridge_lag.set(self.latest.lag)
        self._to_prometheus()
        self._decided = self._decided or self.latest.role != "undecided"
        if self._decided and self._link.connected.is_set():
            self._link.execute(_ignore, "HSET", BRIDGES, self._id, msgspec.json.encode(self.latest))
            self._link.execute(self._forget_dead, "HGETALL", BRIDGES)
            self._link.execute(self._note_backlog, "XLEN", INGRESS_STREAM)

    async def farewell(self) -> None:
        """Remove the report. Raises ``Unavailable``."""
        await self._link.call("HDEL", BRIDGES, self._id)

    def _to_prometheus(self) -> None:
        for name, value in msgspec.to_builtins(self.counters).items():
            if name != "received" and value != self._counted.get(name, 0):
                metrics.bridge_messages.inc(name, value - self._counted.get(name, 0))
                self._counted[name] = value

    def _note_backlog(self, reply: Any) -> None:
        if isinstance(reply, int):
            self._backlog = reply
            metrics.ingress_backlog.set(reply)

    def _forget_dead(self, reply: Any) -> None:
        if not isinstance(reply, dict):
            return
        for bridge_id, report in reply.items():
            try:
                silent = time.time() - json.loads(report)["at"]
            except (ValueError, KeyError, TypeError):
                silent = _FORGOTTEN_AFTER
            if silent >= _FORGOTTEN_AFTER:
                self._link.execute(_ignore, "HDEL", BRIDGES, bridge_id)


class HealthServer:
    """``/metrics``, ``/healthz`` (is the process alive?) and ``/readyz`` (does it work?) in a thread of its own."""

    def __init__(self, host: str, port: int, ready: Callable[[], dict[str, Any]]) -> None:
        self._server = make_server(host, port, self._answer, server_class=_Server, handler_class=_QuietHandler)
        self._ready = ready
        self._metrics = make_wsgi_app()
        threading.Thread(target=self._server.serve_forever, name="bridge-health", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that was bound; useful after asking for port 0."""
        return self._server.server_port

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            page: Iterable[bytes] = self._metrics(environ, start_response)
            return page
        if path not in ("/healthz", "/readyz"):
            return _json(start_response, "404 Not Found", {"error": "there are /metrics, /healthz and /readyz"})
        state = self._ready()
        status = "200 OK" if path == "/healthz" or state["status"] == "ok" else "503 Service Unavailable"
        return _json(start_response, status, state)


class _Server(WSGIServer):
    request_queue_size = 16


class _QuietHandler(WSGIRequestHandler):
    timeout = 5

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as the standard library calls it
        """Probes are not worth a line in the log."""


def _json(start_response: StartResponse, status: str, body: dict[str, Any]) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
    return [json.dumps(body).encode()]


def _ignore(reply: Any) -> None:
    """Take the reply; a report that was not written is followed by another."""
