"""The caller's own messages: list, count, mark as read, delete."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import generics, status
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from notifications import services
from notifications.api import serializers
from notifications.api.base import INVALID, NOT_FOUND, UNAUTHORIZED, NotificationView, caller, checked
from notifications.models import StoredMessage, StoredMessageQuerySet

TAGS = ["notifications"]


class NewestFirst(CursorPagination):
    """Pages that stay put while new messages come in."""

    ordering = "-pk"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200


class ListView(NotificationView, generics.ListAPIView[StoredMessage]):
    """The caller's messages."""

    serializer_class = serializers.StoredMessageSerializer
    pagination_class = NewestFirst
    queryset = StoredMessage.objects.none()

    @extend_schema(
        operation_id="notifications_list",
        tags=TAGS,
        summary=_("List your stored messages, newest first"),
        parameters=[serializers.ListQuery],
        responses={200: serializers.StoredMessageSerializer(many=True), 400: INVALID, 401: UNAUTHORIZED},
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List a page; ``next`` and ``previous`` are URLs of the pages beside it."""
        return super().get(request, *args, **kwargs)

    def get_queryset(self) -> StoredMessageQuerySet:
        """Return the caller's messages that pass the filters."""
        query = checked(serializers.ListQuery, self.request.query_params.dict())
        rows: StoredMessageQuerySet = StoredMessage.objects.all()
        rows = rows.of(caller(self.request))
        if query["unread"] is not None:
            rows = rows.filter(read_at__isnull=query["unread"])
        for name in ("type", "category"):
            if name in query:
                rows = rows.filter(**{name: query[name]})
        return rows.filter(created_at__gte=query["since"]) if "since" in query else rows


class UnreadCountView(NotificationView):
    """How many messages the caller has not read."""

    @extend_schema(
        operation_id="notifications_unread_count",
        tags=TAGS,
        summary=_("Count your unread messages"),
        responses={200: serializers.UnreadSerializer, 401: UNAUTHORIZED},
    )
    def get(self, request: Request) -> Response:
        """Count."""
        return Response({"unread": services.unread_count(caller(request))})


class ItemView(NotificationView):
    """One message of the caller."""

    @extend_schema(
        operation_id="notifications_retrieve",
        tags=TAGS,
        summary=_("Show one of your messages"),
        responses={200: serializers.StoredMessageSerializer, 401: UNAUTHORIZED, 404: NOT_FOUND},
    )
    def get(self, request: Request, message_id: str) -> Response:
        """Show it."""
        rows: StoredMessageQuerySet = StoredMessage.objects.all()
        row = rows.with_ids(caller(request), [message_id]).first()
        if row is None:
            raise Http404
        return Response(serializers.StoredMessageSerializer(row).data)

    @extend_schema(
        operation_id="notifications_delete",
        tags=TAGS,
        summary=_("Delete one of your messages"),
        responses={204: OpenApiResponse(description=_("Deleted.")), 401: UNAUTHORIZED, 404: NOT_FOUND},
    )
    def delete(self, request: Request, message_id: str) -> Response:
        """Delete it; the caller's other devices are told."""
        if not services.delete(caller(request), [message_id]):
            raise Http404
        return Response(status=status.HTTP_204_NO_CONTENT)


class ReadOneView(NotificationView):
    """Mark one message as read."""

    @extend_schema(
        operation_id="notifications_read_one",
        tags=TAGS,
        summary=_("Mark one of your messages as read"),
        request=None,
        responses={200: serializers.ChangedSerializer, 401: UNAUTHORIZED, 404: NOT_FOUND},
    )
    def post(self, request: Request, message_id: str) -> Response:
        """Mark it; the caller's other devices are told. Again is harmless."""
        user = caller(request)
        changed = services.mark_read(user, [message_id])
        rows: StoredMessageQuerySet = StoredMessage.objects.all()
        if not changed and not rows.with_ids(user, [message_id]).exists():
            raise Http404
        return _changed(user, changed)


class ReadManyView(NotificationView):
    """Mark many messages as read."""

    @extend_schema(
        operation_id="notifications_read_many",
        tags=TAGS,
        summary=_("Mark some of your messages as read"),
        request=serializers.IdsSerializer,
        responses={200: serializers.ChangedSerializer, 400: INVALID, 401: UNAUTHORIZED},
    )
    def post(self, request: Request) -> Response:
        """Mark them; ids that are not the caller's are passed over."""
        user = caller(request)
        return _changed(user, services.mark_read(user, checked(serializers.IdsSerializer, request.data)["ids"]))


class ReadAllView(NotificationView):
    """Mark all messages as read."""

    @extend_schema(
        operation_id="notifications_read_all",
        tags=TAGS,
        summary=_("Mark all your messages as read"),
        request=None,
        responses={200: serializers.ChangedSerializer, 401: UNAUTHORIZED},
    )
    def post(self, request: Request) -> Response:
        """Mark them."""
        user = caller(request)
        return _changed(user, services.mark_all_read(user))


class DeleteManyView(NotificationView):
    """Delete many messages."""

    @extend_schema(
        operation_id="notifications_delete_many",
        tags=TAGS,
        summary=_("Delete some of your messages"),
        request=serializers.IdsSerializer,
        responses={200: serializers.ChangedSerializer, 400: INVALID, 401: UNAUTHORIZED},
    )
    def post(self, request: Request) -> Response:
        """Delete them; ids that are not the caller's are passed over."""
        user = caller(request)
        return _changed(user, services.delete(user, checked(serializers.IdsSerializer, request.data)["ids"]))


def _changed(user: str, count: int) -> Response:
    return Response({"changed": count, "unread": services.unread_count(user)})
