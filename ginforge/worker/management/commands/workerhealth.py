"""``manage.py workerhealth worker|beat``: for container health checks."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from ginforge.worker import heartbeat
from realtime.codes import Unavailable


class Command(BaseCommand):
    """Ends with 1 when this host's worker or beat gave no sign of life for 30 seconds."""

    help = "Say whether this host's worker or beat gave a sign of life within 30 seconds."
    requires_system_checks: list[str] = []  # noqa: RUF012  # as Django declares it

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", choices=["worker", "beat"])
        parser.add_argument("--host", help="host name, if it is not this one's")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            alive = heartbeat.is_alive(options["role"], options["host"])
        except Unavailable as error:
            raise CommandError(str(error)) from error
        if not alive:
            raise CommandError(_("no heartbeat of the %(role)s") % {"role": options["role"]})
        self.stdout.write("ok")
