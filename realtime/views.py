"""Plain pages and probes: the console, ``/healthz``, ``/readyz``, ``/metrics``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.templatetags.static import static
from django.utils.translation import gettext as _
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from realtime import exposition, health
from realtime.asyncapi import build_document
from realtime.auth import InvalidToken, get_verifier, revocation
from realtime.codes import Unavailable
from realtime.conf import get_settings
from realtime.protocol_page import page_context

_CONSOLE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' ws: wss:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

AsyncView = Callable[[HttpRequest], Coroutine[Any, Any, HttpResponse]]


@require_safe
@ensure_csrf_cookie
def console(request: HttpRequest) -> HttpResponse:
    """Show the console page: log in, connect, watch frames, join rooms, send."""
    page = render(request, "realtime/console.html", {"texts": _console_texts()})
    page["Content-Security-Policy"] = _CONSOLE_POLICY
    return _uncached(page)


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:  # noqa: ARG001  # a view
    """Send browsers that ask for the old name to the icon."""
    return redirect(static("realtime/console/icon.svg"))


def _console_texts() -> dict[str, object]:
    return {
        "states": {
            "idle": _("not connected"),
            "connecting": _("connecting"),
            "open": _("connected"),
            "waiting": _("reconnecting"),
            "offline": _("offline"),
            "closed": _("closed"),
        },
        "again": _("trying again in"),
        "leave": _("Leave this room"),
        "token": _("The token is not valid"),
        "refused": _("The message was not accepted for sending."),
        "raw": _("Any JSON"),
        "code": _("As code"),
        "language": _("Language of the code"),
        "copy": _("Copy"),
        "copied": _("Copied"),
        "published": _("Published on"),
    }


@require_safe
@ensure_csrf_cookie
def protocol(request: HttpRequest) -> HttpResponse:
    """Show the AsyncAPI document for people."""
    page = render(request, "realtime/protocol.html", page_context())
    page["Content-Security-Policy"] = _CONSOLE_POLICY
    return page


@require_safe
def protocol_json(request: HttpRequest) -> HttpResponse:  # noqa: ARG001  # a view
    """Give the AsyncAPI document of the WebSocket."""
    return JsonResponse(build_document(), json_dumps_params={"indent": 2})


def open_when(setting: str) -> Callable[[AsyncView], AsyncView]:
    """Let everybody in while the named setting is on, otherwise only holders of a staff token."""

    def decorate(view: AsyncView) -> AsyncView:
        @wraps(view)
        async def guarded(request: HttpRequest) -> HttpResponse:
            refusal = None if getattr(get_settings(), setting) else await _refusal(request)
            return refusal or await view(request)

        return guarded

    return decorate


async def _refusal(request: HttpRequest) -> HttpResponse | None:
    scheme, _space, token = request.headers.get("Authorization", "").partition(" ")
    try:
        principal = get_verifier().verify(token.strip() if scheme.lower() == "bearer" else "")
        await sync_to_async(revocation.check, thread_sensitive=False)(principal)
    except InvalidToken:
        return JsonResponse({"detail": "a staff token is needed"}, status=401, headers={"WWW-Authenticate": "Bearer"})
    except Unavailable:
        return JsonResponse({"status": "unavailable", "reason": "redis: not reachable"}, status=503)
    if not principal.is_staff:
        return JsonResponse({"detail": "only staff may see this"}, status=403)
    return None


@require_safe
@open_when("public_health")
async def healthz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001  # a view
    """Answer 200 while this process answers at all; asks nobody else."""
    return _uncached(JsonResponse({"status": "ok"}))


@require_safe
@open_when("public_health")
async def readyz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001  # a view
    """Answer 200 when this process can serve, 503 with the reason while a part is missing."""
    body = health.describe(await health.check())
    return _uncached(JsonResponse(body, status=200 if body["status"] == "ok" else 503))


@require_safe
@open_when("public_metrics")
async def metrics(request: HttpRequest) -> HttpResponse:  # noqa: ARG001  # a view
    """Show the metrics in Prometheus' text format."""
    text = await sync_to_async(exposition.render, thread_sensitive=False)()
    return _uncached(HttpResponse(text, content_type=exposition.CONTENT_TYPE))


def _uncached(response: HttpResponse) -> HttpResponse:
    response["Cache-Control"] = "no-store"
    return response
