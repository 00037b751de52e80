"""``manage.py relayoutbox``: send what transactions left in the outbox."""

from __future__ import annotations

import datetime as dt
import signal
import threading
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, close_old_connections

from notifications.client import NotificationClient
from notifications.errors import NotificationError
from notifications.outbox import CLAIM, Relay

_LONGEST_PAUSE = 10.0


class Command(BaseCommand):
    """Run a relay; start as many as you like, they share the work and keep each recipient's order."""

    help = "Send the messages of the outbox; runs until it is stopped (SIGTERM, Ctrl-C)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="Send what is there and end; 1 if Redis is away.")
        parser.add_argument("--interval", type=float, default=0.5, help="Seconds between looks at an empty outbox.")
        parser.add_argument("--batch-size", type=int, default=500, help="Messages per round trip (default: 500).")
        parser.add_argument(
            "--claim",
            type=float,
            default=CLAIM.total_seconds(),
            help="Seconds after which others take over what this relay holds (default: 30); must exceed redis_timeout.",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        client = NotificationClient()
        if options["claim"] <= client.settings.timeout or options["batch_size"] < 1:
            raise CommandError(f"--claim must exceed {client.settings.timeout:g} seconds, --batch-size be at least 1.")
        claim = dt.timedelta(seconds=options["claim"])
        relay = Relay(client, batch_size=options["batch_size"], claim=claim)
        if options["once"]:
            self._drain(relay)
        else:
            self._run(relay, options["interval"])

    def _drain(self, relay: Relay) -> None:
        total = 0
        try:
            while sent := relay.run_once():
                total += sent
        except NotificationError as error:
            raise CommandError(f"{error} (sent before: {total})") from error
        self.stdout.write(f"sent {total}")

    def _run(self, relay: Relay, interval: float) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        self.stdout.write("relaying the outbox")
        failures = 0
        while not stop.is_set():
            close_old_connections()
            try:
                sent = relay.run_once()
                failures = 0
            except (NotificationError, OperationalError) as error:
                sent, failures = 0, failures + 1
                self.stderr.write(f"not sent, trying again: {error}")
            if not sent:
                stop.wait(min(_LONGEST_PAUSE, interval * 2 ** min(failures, 10)))
        self.stdout.write("stopped")
