"""``manage.py asyncapi``: print the AsyncAPI document, or write it to a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from realtime.asyncapi import build_document


class Command(BaseCommand):
    """Prints the AsyncAPI 3 document of the WebSocket protocol."""

    help = "Print the AsyncAPI 3 document of the WebSocket protocol as JSON."
    requires_system_checks: list[str] = []  # noqa: RUF012  # Django's own annotation

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--output", type=Path, help="write to this file instead")
        parser.add_argument("--check", type=Path, help="fail when this file is not current")

    def handle(self, *args: Any, output: Path | None, check: Path | None, **options: Any) -> None:
        text = json.dumps(build_document(), indent=2, ensure_ascii=False) + "\n"
        if check is not None:
            if not check.exists() or check.read_text() != text:
                raise CommandError(f"{check} is not current; run: manage.py asyncapi --output {check}")
            self.stdout.write(f"{check} is current")
        elif output is not None:
            output.write_text(text)
            self.stdout.write(f"wrote {output}")
        else:
            self.stdout.write(text, ending="")
