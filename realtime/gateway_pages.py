"""The admin's pages about the cluster: overview, connections, rooms, publish, trace, settings; and their JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import msgspec
from asgiref.sync import async_to_sync
from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST, require_safe

from realtime import audit, dead_letters, health, keys, publishing, samples, tracing
from realtime.api.serializers import ConnectionQuery
from realtime.auth.minting import mint_access_token
from realtime.cluster import get_cluster
from realtime.codes import Unavailable
from realtime.conf import RealtimeSettings, get_settings
from realtime.rooms import ADMIN_PAGE_PREFIX, ADMIN_PREFIX, TRACE_PREFIX
from realtime.sampler import OVERVIEW_ROOM

_TOKEN_TTL: Final = 300
_SHOWN_USERS: Final = 500

TABS: Final = (
    ("changelist", gettext_lazy("Overview"), "view"),
    ("connections", gettext_lazy("Connections"), "view"),
    ("rooms", gettext_lazy("Rooms and presence"), "view"),
    ("publish", gettext_lazy("Publish"), "publish"),
    ("trace", gettext_lazy("Live trace"), "trace"),
    ("settings", gettext_lazy("Settings and health"), "view"),
)


class PublishForm(forms.Form):
    """A message as a service would publish it."""

    KINDS = (
        ("user", gettext_lazy("One user")),
        ("notification", gettext_lazy("One user, as a notification")),
        ("room", gettext_lazy("A room")),
        ("broadcast", gettext_lazy("Everyone")),
    )
    kind = forms.ChoiceField(label=gettext_lazy("To"), choices=KINDS)
    name = forms.CharField(label=gettext_lazy("User id or room"), required=False, max_length=512, strip=False)
    message = forms.JSONField(
        label=gettext_lazy("Message (JSON)"),
        widget=forms.Textarea(attrs={"rows": 8, "spellcheck": "false"}),
        initial={"type": "system", "content": "Hello"},
    )
    durable = forms.BooleanField(label=gettext_lazy("Wait in Redis for a bridge (durable)"), required=False)

    def clean(self) -> dict[str, Any]:
        """Ask for a name where one is needed, and for an object with a type."""
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("kind") != "broadcast" and not cleaned.get("name"):
            self.add_error("name", _("Say to whom."))
        message = cleaned.get("message")
        if message is not None and not isinstance(message, dict):
            self.add_error("message", _("A message is a JSON object."))
        elif message is not None and cleaned.get("kind") != "notification" and not message.get("type"):
            self.add_error("message", _("A message needs a type."))
        return cleaned

    @property
    def channel(self) -> str:
        """The ingress channel of a checked form."""
        if self.cleaned_data["kind"] == "broadcast":
            return keys.INGRESS_BROADCAST
        return f"websocket:{self.cleaned_data['kind']}:{self.cleaned_data['name']}"


class TraceForm(forms.Form):
    """What to trace."""

    kind = forms.ChoiceField(choices=[("user_id", "user"), ("room", "room")])
    name = forms.CharField(max_length=512, strip=False)


class GatewayPages:
    """Views of ``GatewayAdmin``; each asks for its permission, each action is recorded."""

    if TYPE_CHECKING:
        admin_site: Any
        allowed: Callable[..., bool]
        require: Callable[..., None]
        page: Callable[..., TemplateResponse]
        record: Callable[..., None]

    def page_urls(self) -> list[URLPattern]:
        """Route the pages."""
        views: dict[str, tuple[str, Callable[..., Any]]] = {
            "state": ("state/", self.state_view),
            "token": ("token/", self.token_view),
            "connections": ("connections/", self.connections_view),
            "rooms": ("rooms/", self.rooms_view),
            "publish": ("publish/", self.publish_view),
            "trace": ("trace/", self.trace_view),
            "trace_start": ("trace/start/", self.trace_start_view),
            "trace_stop": ("trace/stop/", self.trace_stop_view),
            "settings": ("settings/", self.settings_view),
        }
        wrap = self.admin_site.admin_view
        return [path(route, wrap(view), name=f"realtime_gateway_{name}") for name, (route, view) in views.items()]

    def tab_page(self, request: HttpRequest, tab: str, **context: Any) -> TemplateResponse:
        """Render one of the pages with the tabs above it."""
        tabs = [
            {"name": f"admin:realtime_gateway_{name}", "label": label, "current": name == tab}
            for name, label, permission in TABS
            if self.allowed(request, permission)
        ]
        template = "gateway" if tab == "changelist" else f"gateway_{tab}"
        return self.page(request, template, tabs=tabs, texts=_texts(), **context)

    def guarded(self, request: HttpRequest, tab: str, read: Callable[[], dict[str, Any]]) -> TemplateResponse:
        """Render a page from what ``read`` finds in Redis, or say that Redis is away."""
        self.require(request, "view")
        try:
            found = read()
        except Unavailable as error:
            return self.tab_page(request, tab, problem=str(error), status=503)
        return self.tab_page(request, tab, query=request.GET, **found)

    # Overview

    def overview(self, request: HttpRequest) -> TemplateResponse:
        """Show tiles, charts, nodes and bridges."""
        return self.guarded(request, "changelist", lambda: {**read_state(), "periods": samples.PERIODS})

    @method_decorator(require_safe)
    def state_view(self, request: HttpRequest) -> HttpResponse:
        """Give what the overview shows as JSON."""
        self.require(request, "view")
        period = samples.PERIODS.get(request.GET.get("period", "15m"))
        if period is None:
            raise Http404
        try:
            body = {**read_state(), "points": samples.history(period), "now": time.time()}
        except Unavailable as error:
            return JsonResponse({"detail": str(error)}, status=503)
        return JsonResponse(msgspec.to_builtins(body), headers={"Cache-Control": "no-store"})

    @method_decorator(require_POST)
    def token_view(self, request: HttpRequest) -> HttpResponse:
        """Give a token that opens the room of the overview and nothing else."""
        self.require(request, "view")
        return _token_answer(request, [OVERVIEW_ROOM], _TOKEN_TTL)

    # Connections

    def connections_view(self, request: HttpRequest) -> TemplateResponse:
        """Search for connections, or show one in detail."""

        def read() -> dict[str, Any]:
            if client_id := request.GET.get("client_id"):
                found = get_cluster().connections(client_id=client_id, limit=1)
                return {"detail": found[0] if found else None, "asked": client_id}
            wanted = {name: request.GET[name] for name in ("user_id", "address", "room") if request.GET.get(name)}
            query = ConnectionQuery(data=wanted)
            found = list(get_cluster().connections(**query.validated_data)) if query.is_valid() else []
            return {"connections": found, "limit": 100, "may_disconnect": self.allowed(request, "disconnect")}

        return self.guarded(request, "connections", lambda: read() | {"may_cut": self.allowed(request, "disconnect")})

    # Rooms

    def rooms_view(self, request: HttpRequest) -> TemplateResponse:
        """List rooms and who is online; with ``room``, its members."""

        def read() -> dict[str, Any]:
            cluster, room = get_cluster(), request.GET.get("room")
            rooms = [row for row in cluster.rooms() if not row["room"].startswith(ADMIN_PREFIX)]
            users = [user for user in cluster.online_users() if not user.startswith(ADMIN_PAGE_PREFIX)]
            members = cluster.members(room, limit=200) if room else None
            return {
                "rooms": rooms[:_SHOWN_USERS],
                "users": users[:_SHOWN_USERS],
                "total_users": len(users),
                "total_rooms": len(rooms),
                "members": members,
            }

        return self.guarded(request, "rooms", read)

    # Publish

    def publish_view(self, request: HttpRequest) -> HttpResponse:
        """Publish a message, after a preview of what it will be."""
        self.require(request, "publish")
        form = PublishForm(request.POST if request.method == "POST" else None)
        preview = None
        if form.is_bound and form.is_valid():
            if "send" in request.POST and self._publish(request, form):
                return redirect("admin:realtime_gateway_publish")
            preview = {
                "channel": form.channel,
                "message": json.dumps(form.cleaned_data["message"], indent=2, ensure_ascii=False),
            }
        return self.tab_page(request, "publish", form=form, preview=preview)

    def _publish(self, request: HttpRequest, form: PublishForm) -> bool:
        data = form.cleaned_data
        try:
            publishing.publish(form.channel, data["message"], durable=data["durable"])
        except (Unavailable, ValueError) as error:
            messages.error(request, str(error))
            return False
        self.record(request, form.channel, "published")
        audit.record(
            audit.Event.STAFF_SENT,
            actor=str(request.user.pk),
            target=form.channel,
            address=str(request.META.get("REMOTE_ADDR", "")),
            detail=str(data["message"].get("type", "notification")),
        )
        messages.success(request, _("Published on %(channel)s.") % {"channel": form.channel})
        return True

    # Trace

    def trace_view(self, request: HttpRequest) -> TemplateResponse:
        """Show the page of live traces."""
        self.require(request, "trace")
        asked = {"room": request.GET.get("room", ""), "user_id": request.GET.get("user_id", "")}
        return self.tab_page(request, "trace", query=asked, minutes=tracing.LIFETIME // 60)

    @method_decorator(require_POST)
    def trace_start_view(self, request: HttpRequest) -> HttpResponse:
        """Begin a trace and give the token that opens its room."""
        self.require(request, "trace")
        form = TraceForm(request.POST)
        if not form.is_valid() or form.cleaned_data["name"].startswith(TRACE_PREFIX):
            return JsonResponse({"detail": _("Say which user or room.")}, status=400)
        kind, name = form.cleaned_data["kind"], form.cleaned_data["name"]
        trace_id, until = tracing.new_trace_id(), time.time() + tracing.LIFETIME
        try:
            get_cluster().trace(trace_id, until=until, **{kind: name})
        except Unavailable as error:
            return JsonResponse({"detail": str(error)}, status=503)
        self.record(request, f"{kind} {name}", "traced")
        room = TRACE_PREFIX + trace_id
        return _token_answer(request, [room], tracing.LIFETIME, room=room, trace=trace_id, until=until)

    @method_decorator(require_POST)
    def trace_stop_view(self, request: HttpRequest) -> HttpResponse:
        """End a trace before its time."""
        self.require(request, "trace")
        try:
            get_cluster().untrace(request.POST.get("trace", "")[:64])
        except Unavailable as error:
            return JsonResponse({"detail": str(error)}, status=503)
        return JsonResponse({})

    # Settings

    def settings_view(self, request: HttpRequest) -> TemplateResponse:
        """Show the effective settings and what the probes of ``/readyz`` say."""
        self.require(request, "view")
        probes = {name: probe for name, probe in health.PROBES.items() if name != "layer"}
        checks = async_to_sync(health.check)(probes)
        return self.tab_page(request, "settings", checks=checks, rows=_settings_rows())


def read_state() -> dict[str, Any]:
    """Read what the overview shows. Raises ``Unavailable``."""
    cluster = get_cluster()
    return {
        "stats": cluster.stats(),
        "nodes": cluster.nodes(),
        "bridges": cluster.bridges(),
        "letters": dead_letters.count(),
    }


def _settings_rows() -> list[dict[str, Any]]:
    conf, defaults = get_settings(), RealtimeSettings()
    return [
        {"name": field.name, "value": value, "default": default, "changed": value != default}
        for field in fields(RealtimeSettings)
        for value, default in [(getattr(conf, field.name), getattr(defaults, field.name))]
    ]


def _token_answer(request: HttpRequest, rooms: list[str], ttl: float, **more: Any) -> JsonResponse:
    # Not the person's own user id: a page of the admin must neither make them look online nor take in what is kept
    # for them while they are away.
    name = f"{ADMIN_PAGE_PREFIX}{request.user.pk}"
    token = mint_access_token(name, username=request.user.get_username(), is_staff=True, ttl=ttl, rooms=rooms)
    return JsonResponse({"token": token, **more}, headers={"Cache-Control": "no-store"})


def _texts() -> dict[str, str]:
    """Words of the pages' scripts."""
    return {
        "connections": _("Connections"),
        "received": _("Received a second"),
        "sent": _("Delivered a second"),
        "errors": _("Errors a second"),
        "p50": _("Median"),
        "p95": _("95 %"),
        "p99": _("99 %"),
        "draining": _("draining"),
        "live": _("live"),
        "polling": _("every 10 s"),
        "stale": _("Redis does not answer"),
        "running": _("Watching"),
        "ended": _("The trace has ended."),
        "in": _("from the user"),
        "out": _("to the members"),
        "skipped": _("left out, too many"),
    }
