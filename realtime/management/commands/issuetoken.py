"""``manage.py issuetoken``: a token for trying things out."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from realtime.auth import InvalidToken, get_verifier
from realtime.auth.minting import mint_access_token


class Command(BaseCommand):
    """Mints an access token for any user id; the user need not exist."""

    help = "Mint an access token for trying things out. The user need not exist in the database."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user_id")
        parser.add_argument("--username", default="", help="default: the user id")
        parser.add_argument("--staff", action="store_true", help="set the is_staff claim")
        parser.add_argument("--ttl", type=int, default=3600, help="seconds until it expires (default: 3600)")

    def handle(self, *args: Any, **options: Any) -> str:
        user_id: str = options["user_id"]
        if options["ttl"] <= 0:
            raise CommandError(_("--ttl must be a positive number of seconds."))
        token = mint_access_token(
            user_id, username=options["username"] or user_id, is_staff=options["staff"], ttl=options["ttl"]
        )
        try:
            get_verifier().verify(token)
        except InvalidToken as error:
            raise CommandError(_("This gateway would refuse such a token: %s") % error.reason) from error
        return token
