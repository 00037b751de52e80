"""What somebody hears who guessed passwords too often (django-axes), and from where they count as guessing."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.translation import gettext as _

STATUS = 429


def client_address(request: HttpRequest) -> str:
    """Return the client's address; the ASGI server or application has dealt with proxies."""
    return str(request.META.get("REMOTE_ADDR", ""))


def locked_out(request: HttpRequest, *_details: Any) -> HttpResponse:
    """Answer 429 with the time to wait: JSON below ``/api/``, a page elsewhere."""
    minutes = max(1, int(settings.AXES_COOLOFF_TIME.total_seconds()) // 60)
    text = _("Too many wrong passwords. Try again in %(minutes)d minutes, or ask an administrator.") % {
        "minutes": minutes
    }
    headers = {"Retry-After": str(minutes * 60), "Cache-Control": "no-store"}
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": text}, status=STATUS, headers=headers)
    page = render(request, "realtime/locked_out.html", {"text": text}, status=STATUS)
    for name, value in headers.items():
        page[name] = value
    return page
