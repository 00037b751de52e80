"""``manage.py prunenotifications --days 90``: delete old stored messages."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext as _

from notifications.retention import expired, prune


class Command(BaseCommand):
    """Delete stored messages older than a number of days, in batches that block nobody."""

    help = "Delete stored messages older than a number of days."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=float, default=90.0, help="Keep this many days (default: 90).")
        parser.add_argument("--only-read", action="store_true", help="Keep what was not read, however old.")
        parser.add_argument("--batch-size", type=int, default=1000, help="Rows per transaction (default: 1000).")
        parser.add_argument("--dry-run", action="store_true", help="Only count.")

    def handle(self, *_args: Any, **options: Any) -> None:
        if options["days"] < 0 or options["batch_size"] < 1:
            raise CommandError(_("--days must not be negative and --batch-size at least 1."))
        before = timezone.now() - dt.timedelta(days=options["days"])
        rows = expired(before, only_read=options["only_read"])
        total = rows.count()
        self.stdout.write(_("%(total)d messages were created before %(before)s.") % {"total": total, "before": before})
        if options["dry_run"]:
            return
        done = 0
        for deleted in prune(rows, batch_size=options["batch_size"]):
            done += deleted
            self.stdout.write(_("deleted %(done)d of %(total)d") % {"done": done, "total": max(total, done)})
        self.stdout.write(self.style.SUCCESS(_("Deleted %(done)d messages.") % {"done": done}))
