"""``/ws/stats`` and ``/ws/online-users``."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema
from rest_framework.permissions import AllowAny, BasePermission, IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response

from realtime.api.base import STAFF_ERRORS, UNAUTHORIZED, UNAVAILABLE, ClusterView
from realtime.api.serializers import OnlineUsersSerializer, StatsSerializer
from realtime.cluster import get_cluster
from realtime.conf import get_settings


class StatsView(ClusterView):
    """Statistics."""

    def get_permissions(self) -> list[BasePermission]:
        """Let everybody in while the setting ``public_stats`` is on, else staff."""
        return [AllowAny() if get_settings().public_stats else IsAdminUser()]

    @extend_schema(
        operation_id="ws_stats",
        tags=["presence"],
        summary=_("The whole cluster in four numbers"),
        responses={200: StatsSerializer, **STAFF_ERRORS},
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002  # a view
        """Return the number of connections, users and rooms, and the uptime in seconds."""
        return Response(StatsSerializer(get_cluster().stats()).data)


class OnlineUsersView(ClusterView):
    """Who is online."""

    @extend_schema(
        operation_id="ws_online_users",
        tags=["presence"],
        summary=_("Who is online"),
        responses={200: OnlineUsersSerializer, 401: UNAUTHORIZED, 503: UNAVAILABLE},
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002  # a view
        """Return the ids of all users with a connection anywhere in the cluster."""
        users = get_cluster().online_users()
        return Response({"total": len(users), "users": users})
