"""Admin pages: stored messages with their delivery state, and the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from notifications.models import OutboxMessage, StoredMessage

if TYPE_CHECKING:
    StoredMessageModelAdmin = admin.ModelAdmin[StoredMessage]
    OutboxMessageModelAdmin = admin.ModelAdmin[OutboxMessage]
else:
    StoredMessageModelAdmin = OutboxMessageModelAdmin = admin.ModelAdmin

SENT, WAITING, DELIVERED = "sent", "waiting", "delivered"
STATES = {
    SENT: (_("sent live"), {"awaiting": False, "delivered_at__isnull": True}),
    WAITING: (_("waits for the user"), {"awaiting": True}),
    DELIVERED: (_("delivered later"), {"delivered_at__isnull": False}),
}


def state_of(row: StoredMessage) -> str:
    """Return the delivery state of a stored message, a key of ``STATES``."""
    if row.delivered_at is not None:
        return DELIVERED
    return WAITING if row.awaiting else SENT


class StateFilter(admin.SimpleListFilter):
    """Choose by delivery state."""

    title = _("delivery")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002
        """Return the choices."""
        return [(key, label) for key, (label, _condition) in STATES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        """Apply the choice."""
        chosen = STATES.get(self.value() or "")
        return queryset.filter(**chosen[1]) if chosen else queryset


class ReadFilter(admin.SimpleListFilter):
    """Choose read or unread messages."""

    title = _("read")
    parameter_name = "read"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:  # noqa: ARG002
        """Return the choices."""
        return [("yes", _("read")), ("no", _("unread"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
        """Apply the choice."""
        if self.value() not in ("yes", "no"):
            return queryset
        return queryset.filter(read_at__isnull=self.value() == "no")


@admin.register(StoredMessage)
class StoredMessageAdmin(StoredMessageModelAdmin):
    """Who got what, and whether it was delivered and read; messages cannot be written here."""

    list_display = ("message_id", "recipient", "type", "category", "state", "created_at", "delivered_at", "read_at")
    list_filter = (StateFilter, ReadFilter, "type", "created_at")
    search_fields = ("=recipient", "=message_id", "category", "text")
    search_help_text = _("User id, message id (both exact), category or words of the message.")
    date_hierarchy = "created_at"
    actions = ("mark_as_read",)
    list_per_page = 50
    show_full_result_count = False
    fields = readonly_fields = (*list_display, "accepted_order", "text")

    @admin.display(description=_("delivery"))
    def state(self, row: StoredMessage) -> str:
        """Show the delivery state in words."""
        return str(STATES[state_of(row)][0])

    @admin.action(description=_("Mark as read"))
    def mark_as_read(self, request: HttpRequest, queryset: QuerySet[StoredMessage]) -> None:
        """Mark the chosen messages as read."""
        count = queryset.filter(read_at__isnull=True).update(read_at=timezone.now(), awaiting=False)
        text = ngettext("%(count)d message marked as read.", "%(count)d messages marked as read.", count)
        self.message_user(request, text % {"count": count}, messages.SUCCESS)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Refuse: messages come from services."""
        return False


@admin.register(OutboxMessage)
class OutboxMessageAdmin(OutboxMessageModelAdmin):
    """What has not been sent yet, and why."""

    list_display = ("id", "channel", "message_id", "type", "created_at", "attempts", "claimed_until", "last_error")
    list_filter = ("type", "created_at")
    search_fields = ("channel", "=message_id", "last_error")
    list_per_page = 50
    fields = readonly_fields = (*list_display, "durable", "payload")

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Refuse: the outbox belongs to transactions."""
        return False
