"""``manage.py loadtest``: many clients against a running gateway."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

_TOKEN_LIFE = 86_400


class Command(BaseCommand):
    """Connects N clients and measures what they see; without ``--token`` or ``--jwt-key``, local settings sign."""

    help = (
        "Load a running gateway: connect rate, latency percentiles, loss, duplicates, reorder. "
        "Exit code 1: a limit was passed; 2: the test could not run."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        _require_extra()
        from realtime.loadtest.options import add_arguments

        add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        from realtime.auth.minting import mint_access_token
        from realtime.loadtest.cli import execute

        def mint(user: str) -> str:
            return mint_access_token(user, username=user, ttl=_TOKEN_LIFE)

        code = execute(options, mint=mint, out=sys.stdout, err=sys.stderr)
        if code:
            sys.exit(code)


def _require_extra() -> None:
    try:
        import picows  # noqa: F401
        import rich  # noqa: F401
    except ImportError as error:
        raise CommandError(
            _("The load test needs the 'loadtest' extra: pip install 'ginforge-realtime[loadtest]'")
        ) from error
