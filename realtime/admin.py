"""Admin pages of the gateway: its state, its connections, its dead letters. All of it lives in Redis."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from realtime import audit, dead_letters
from realtime.api.serializers import DisconnectSerializer
from realtime.api.views import disconnect, record_disconnect
from realtime.codes import Unavailable
from realtime.gateway_pages import GatewayPages
from realtime.models import AuditEvent, DeadLetterBox, Gateway

logger = logging.getLogger(__name__)

_PAGE = 50


if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class RedisAdmin(ModelAdmin):
    """Base of the pages that show Redis: nothing to add or change, and a clear page while Redis is away."""

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002  # as Django calls it
        """Nothing here is made by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nothing here is edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Dead letters are dropped by a permission of their own."""
        return False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> None:
        """There are no rows, so no page of one."""

    def allowed(self, request: HttpRequest, action: str) -> bool:
        """Tell whether the user has this model's permission ``action``."""
        return request.user.has_perm(f"realtime.{action}_{self.opts.model_name}")

    def require(self, request: HttpRequest, action: str) -> None:
        """Answer 403 without the permission."""
        if not self.allowed(request, action):
            raise PermissionDenied

    def page(self, request: HttpRequest, template: str, *, status: int = 200, **context: Any) -> TemplateResponse:
        """Render a page of this section."""
        base = {**self.admin_site.each_context(request), "opts": self.opts, "title": self.opts.verbose_name_plural}
        return TemplateResponse(request, f"admin/realtime/{template}.html", {**base, **context}, status=status)

    def record(self, request: HttpRequest, name: str, message: str, *, flag: int = CHANGE) -> None:
        """Write what was done into Django's admin history and the log."""
        LogEntry.objects.create(
            user_id=request.user.pk or 0,
            content_type=ContentType.objects.get_for_model(self.model, for_concrete_model=False),
            object_id=name[:200],
            object_repr=name[:200],
            action_flag=flag,
            change_message=message,
        )
        logger.info("admin action", extra={"staff": request.user.pk, "action": message, "target": name[:200]})


@admin.register(Gateway)
class GatewayAdmin(GatewayPages, RedisAdmin):
    """The cluster: its pages are in ``realtime.gateway_pages``; here, the order to disconnect."""

    def get_urls(self) -> list[URLPattern]:
        """Add the disconnect action."""
        cut = path("disconnect/", self.admin_site.admin_view(self.disconnect_view), name="realtime_gateway_disconnect")
        return [cut, *self.page_urls(), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:  # noqa: ARG002
        """Show the overview."""
        return self.overview(request)

    @method_decorator(require_POST)
    def disconnect_view(self, request: HttpRequest) -> HttpResponse:
        """Cut the connections of a user or one connection."""
        self.require(request, "disconnect")
        body = DisconnectSerializer(data=request.POST)
        if not body.is_valid():
            messages.error(request, _("This is not a valid request."))
            return redirect("admin:realtime_gateway_connections")
        target = body.validated_data.get("user_id") or body.validated_data.get("client_id") or ""
        try:
            disconnect(**body.validated_data)
        except Unavailable as error:
            messages.error(request, str(error))
        else:
            self.record(request, target, "disconnected")
            record_disconnect(request.user.pk, _address(request), body.validated_data)
            messages.success(request, _("Every instance was told to disconnect %(target)s.") % {"target": target})
        return redirect("admin:realtime_gateway_connections")


@admin.register(DeadLetterBox)
class DeadLetterAdmin(RedisAdmin):
    """Dead letters: list, look, publish again, drop."""

    def get_urls(self) -> list[URLPattern]:
        """Route one letter and its actions; ids are those of the Redis stream."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="realtime_deadletterbox_changelist"),
            path("<str:letter_id>/", wrap(self.letter_view), name="realtime_deadletterbox_letter"),
            path("<str:letter_id>/<str:action>/", wrap(self.act_view), name="realtime_deadletterbox_act"),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> TemplateResponse:  # noqa: ARG002
        """List the newest dead letters, a page at a time."""
        self.require(request, "view")
        before = request.GET.get("before", "")
        if before and not dead_letters.is_letter_id(before):
            raise Http404
        try:
            letters, total = dead_letters.newest(_PAGE, before=before or None), dead_letters.count()
        except Unavailable as error:
            return self.page(request, "dead_letters", problem=str(error), status=503)
        older = letters[-1].id if len(letters) == _PAGE else None
        return self.page(request, "dead_letters", letters=letters, total=total, before=before, older=older)

    def letter_view(self, request: HttpRequest, letter_id: str) -> TemplateResponse:
        """Show one dead letter with its payload."""
        self.require(request, "view")
        letter = _find(letter_id)
        return self.page(
            request,
            "dead_letter",
            letter=letter,
            at=datetime.fromtimestamp(letter.at, tz=UTC),
            may_replay=self.allowed(request, "replay") and letter.is_whole,
            may_drop=self.allowed(request, "drop"),
        )

    @method_decorator(require_POST)
    def act_view(self, request: HttpRequest, letter_id: str, action: str) -> HttpResponse:
        """Publish a dead letter again, or drop it."""
        if action not in ("replay", "drop"):
            raise Http404
        self.require(request, action)
        letter = _find(letter_id)
        try:
            self._act(request, letter, action)
        except (Unavailable, ValueError) as error:
            messages.error(request, str(error))
        return HttpResponseRedirect(reverse("admin:realtime_deadletterbox_changelist"))

    def _act(self, request: HttpRequest, letter: dead_letters.DeadLetter, action: str) -> None:
        if action == "replay":
            dead_letters.replay(letter)
            messages.success(request, _("The message was published again."))
        else:
            dead_letters.drop(letter.id)
            messages.success(request, _("The dead letter was dropped."))
        audit.record(
            audit.Event.DEAD_LETTER,
            actor=str(request.user.pk),
            target=letter.id,
            address=_address(request),
            detail=action,
        )
        self.record(request, letter.id, action, flag=CHANGE if action == "replay" else DELETION)


def _find(letter_id: str) -> dead_letters.DeadLetter:
    if not dead_letters.is_letter_id(letter_id):
        raise Http404
    try:
        letter = dead_letters.find(letter_id)
    except Unavailable as error:
        raise Http404(str(error)) from error
    if letter is None:
        raise Http404
    return letter


def _address(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


@admin.register(AuditEvent)
class AuditAdmin(ModelAdmin):
    """The audit: look, filter, search."""

    list_display = ("at", "event", "actor", "target", "address", "detail")
    list_filter = ("event", "at")
    search_fields = ("actor", "target", "address", "detail")
    show_full_result_count = False
    list_per_page = 100

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002  # as Django calls it
        """Nothing here is made by hand."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nothing here is edited."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Only its age takes an event out."""
        return False
