"""Filters for times in Unix seconds and durations in seconds."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from django import template
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

register = template.Library()

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


@register.filter
def duration(seconds: float) -> str:
    """Show a duration in its largest unit and the next, such as ``3 h 12 min``."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for size, unit in _UNITS:
        if left >= size or parts:
            parts.append(f"{left // size} {unit}")
            left %= size
    parts.append(f"{left} s")
    return " ".join(parts[:2])


@register.filter
def since(moment: float) -> str:
    """Show how long ago a moment was."""
    return duration(time.time() - float(moment)) if moment else _("never")


@register.filter
def when(moment: float) -> str:
    """Show a moment in the current time zone and language, to the second."""
    local = timezone.localtime(datetime.fromtimestamp(moment, tz=UTC))
    return f"{date_format(local, 'DATE_FORMAT')} {local:%H:%M:%S}"
