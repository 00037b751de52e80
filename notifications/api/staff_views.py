"""What staff send: to a user, to a room, to everybody, and data updates."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response

from notifications import services, shortcuts
from notifications.api import serializers
from notifications.api.base import FORBIDDEN, INVALID, NOT_SENT, UNAUTHORIZED, NotificationView, caller, checked
from notifications.api.views import TAGS
from realtime import audit

ANSWERS = {202: serializers.SentSerializer, 400: INVALID, 401: UNAUTHORIZED, 403: FORBIDDEN, 503: NOT_SENT}


class StaffView(NotificationView):
    """A view for staff only."""

    permission_classes = (IsAdminUser,)


class SendToUserView(StaffView):
    """Notify one user."""

    @extend_schema(
        operation_id="notifications_send_to_user",
        tags=TAGS,
        summary=_("Notify a user on all their devices"),
        request=serializers.UserNotificationSerializer,
        responses=ANSWERS,
    )
    def post(self, request: Request) -> Response:
        """Store the notification (unless told not to) and send it."""
        fields = checked(serializers.UserNotificationSerializer, request.data)
        if fields.pop("store"):
            return _sent(request, services.notify(**fields, must_send=True).message_id, f"user {fields['user_id']}")
        return _sent(request, shortcuts.default_client().send_notification(**fields), f"user {fields['user_id']}")


class SendToRoomView(StaffView):
    """Send to a room."""

    @extend_schema(
        operation_id="notifications_send_to_room",
        tags=TAGS,
        summary=_("Send a message to the members of a room"),
        request=serializers.RoomMessageSerializer,
        responses=ANSWERS,
    )
    def post(self, request: Request) -> Response:
        """Send it in the caller's name."""
        fields = checked(serializers.RoomMessageSerializer, request.data)
        name = getattr(request.user, "username", None) or None
        message_id = shortcuts.default_client().send_to_room(**fields, from_=caller(request), from_name=name)
        return _sent(request, message_id, f"room {fields['room']}")


class SendToAllView(StaffView):
    """Notify everybody."""

    @extend_schema(
        operation_id="notifications_send_to_all",
        tags=TAGS,
        summary=_("Notify everybody who is connected"),
        request=serializers.BroadcastNotificationSerializer,
        responses=ANSWERS,
    )
    def post(self, request: Request) -> Response:
        """Send it; nothing is stored."""
        fields = checked(serializers.BroadcastNotificationSerializer, request.data)
        return _sent(request, shortcuts.default_client().broadcast_notification(**fields), "everybody")


class DataUpdateView(StaffView):
    """Tell everybody that something changed."""

    @extend_schema(
        operation_id="notifications_data_update",
        tags=TAGS,
        summary=_("Tell everybody that something changed"),
        request=serializers.DataUpdateSerializer,
        responses=ANSWERS,
    )
    def post(self, request: Request) -> Response:
        """Send a ``data_update``."""
        fields = checked(serializers.DataUpdateSerializer, request.data)
        return _sent(request, shortcuts.default_client().broadcast_data_update(**fields), "everybody")


def _sent(request: Request, message_id: str, target: str) -> Response:
    address = str(request.META.get("REMOTE_ADDR", ""))
    audit.record(audit.Event.STAFF_SENT, actor=caller(request), target=target, address=address, detail=message_id)
    return Response({"id": message_id}, status=status.HTTP_202_ACCEPTED)
