"""The business part of the tasks, as it is when a project says nothing; ``settings.WORKER`` names others."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from django.utils.translation import gettext as _

from ginforge.worker.conf import get_settings
from ginforge.worker.errors import Refused

_UPLOAD_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


@dataclass(frozen=True, slots=True)
class Reminder:
    """What to say about an order."""

    title: str
    body: str
    link: str | None = None


def order_reminder(order_id: str, user_id: str) -> Reminder | None:  # noqa: ARG001  # for other hooks
    """Return what to remind of, or None when there is nothing to remind of any more (paid, cancelled)."""
    return Reminder(_("Reminder"), _("Order %(order)s is waiting for you.") % {"order": order_id})


def may_notify(user_id: str, category: str | None) -> bool:  # noqa: ARG001  # for other hooks
    """Tell whether the user wants notifications of this category."""
    return True


def inventory_level(sku: str) -> int | None:  # noqa: ARG001  # for other hooks
    """Return the present stock, or None to believe the one in the job."""
    return None


def payment_settled(payment_id: str, paid: bool, reason: str) -> None:  # for other hooks
    """Note the end of a payment: paid, or given up for a reason. Called at least once."""


def open_upload(upload_id: str) -> tuple[BinaryIO, int]:
    """Open an upload and return it with its size in bytes; the caller closes it. Raises ``Refused``."""
    directory = get_settings().upload_dir
    if not directory or not _UPLOAD_ID.fullmatch(upload_id):
        raise Refused(f"no such upload: {upload_id!r}")
    path = Path(directory) / upload_id
    try:
        return path.open("rb"), path.stat().st_size
    except FileNotFoundError:
        raise Refused(f"no such upload: {upload_id!r}") from None
