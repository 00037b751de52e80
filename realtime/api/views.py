"""``/api/v1/realtime/``: what staff see of the cluster and may do to it; thin over ``realtime.cluster``."""

from __future__ import annotations

import time
from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from realtime import audit, dead_letters, publishing
from realtime.api import serializers
from realtime.api.base import INVALID, STAFF_ERRORS, StaffView
from realtime.auth import revocation
from realtime.auth.issuing import end_all_sessions
from realtime.cluster import get_cluster
from realtime.codes import CloseCode


class NodesView(StaffView):
    """Gateway processes."""

    @extend_schema(
        operation_id="realtime_nodes",
        tags=["realtime"],
        summary=_("List the gateway processes"),
        responses={200: serializers.NodeSerializer(many=True), **STAFF_ERRORS},
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002  # a view
        """List the processes whose lease is alive."""
        return Response(serializers.NodeSerializer(get_cluster().nodes(), many=True).data)


class ConnectionsView(StaffView):
    """Live WebSockets."""

    @extend_schema(
        operation_id="realtime_connections",
        tags=["realtime"],
        summary=_("List live connections, of a user, an address or a room"),
        parameters=[serializers.ConnectionQuery],
        responses={200: serializers.ConnectionSerializer(many=True), 400: INVALID, **STAFF_ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Ask every process for its connections; those that do not answer in time are left out."""
        found = get_cluster().connections(**self.query(serializers.ConnectionQuery, request))
        return Response(serializers.ConnectionSerializer(found, many=True).data)


class RoomsView(StaffView):
    """Rooms."""

    @extend_schema(
        operation_id="realtime_rooms",
        tags=["realtime"],
        summary=_("List the rooms that have members"),
        responses={200: serializers.RoomSerializer(many=True), **STAFF_ERRORS},
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002  # a view
        """List the rooms with the number of processes that hold a member."""
        return Response(serializers.RoomSerializer(get_cluster().rooms(), many=True).data)


class MembersView(StaffView):
    """Members of a room."""

    @extend_schema(
        operation_id="realtime_members",
        tags=["realtime"],
        summary=_("List the connections in a room"),
        parameters=[serializers.MembersQuery],
        responses={200: serializers.ConnectionSerializer(many=True), 400: INVALID, **STAFF_ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Ask every process for the room's members."""
        query = self.query(serializers.MembersQuery, request)
        found = get_cluster().members(query["room"], limit=query["limit"])
        return Response(serializers.ConnectionSerializer(found, many=True).data)


class DisconnectView(StaffView):
    """Disconnect."""

    @extend_schema(
        operation_id="realtime_disconnect",
        tags=["realtime"],
        summary=_("Cut the connections of a user, of a token, or one connection"),
        request=serializers.DisconnectSerializer,
        responses={
            202: OpenApiResponse(description=_("Every instance has been told.")),
            400: INVALID,
            **STAFF_ERRORS,
        },
    )
    def post(self, request: Request) -> Response:
        """Tell every process to cut the connections; with ``revoke`` their tokens are kept out too."""
        body = serializers.DisconnectSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        disconnect(**body.validated_data)
        record_disconnect(request.user.pk, request.META.get("REMOTE_ADDR", ""), body.validated_data)
        return Response(status=status.HTTP_202_ACCEPTED)


def disconnect(*, code: int, reason: str, revoke: bool, **target: str) -> None:
    """Cut connections by ``user_id``, ``client_id`` or ``jti``. Raises ``Unavailable``."""
    if revoke and "user_id" in target:
        end_all_sessions(target["user_id"], reason=reason, code=CloseCode(code))
    elif revoke and "jti" in target:
        until = time.time() + revocation.USER_REVOCATION_TTL
        revocation.revoke_token(target["jti"], until, reason=reason, code=CloseCode(code))
    else:
        get_cluster().disconnect(**target, code=code, reason=reason)


def record_disconnect(actor: Any, address: str, order: dict[str, Any]) -> None:
    """Put an order to disconnect into the audit."""
    targets = [f"{name} {order[name]}" for name in ("user_id", "client_id", "jti") if name in order]
    detail = f"code {order['code']}{', revoked' if order['revoke'] else ''} {order['reason']}".strip()
    audit.record(
        audit.Event.DISCONNECTED, actor=str(actor or ""), target=" ".join(targets), address=address, detail=detail
    )


class PublishView(StaffView):
    """Publish as a service would."""

    @extend_schema(
        operation_id="realtime_publish",
        tags=["realtime"],
        summary=_("Publish a message on an ingress channel, as a service would in Redis"),
        request=serializers.PublishSerializer,
        responses={202: OpenApiResponse(description=_("The bridges have it.")), 400: INVALID, **STAFF_ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Hand the message over unchecked: what the bridge refuses is found among the dead letters."""
        body = serializers.PublishSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        order = body.validated_data
        try:
            publishing.publish(order["channel"], order["message"], durable=order["durable"])
        except ValueError as error:
            return Response({"message": [str(error)]}, status=status.HTTP_400_BAD_REQUEST)
        audit.record(
            audit.Event.STAFF_SENT,
            actor=str(request.user.pk),
            target=order["channel"],
            address=request.META.get("REMOTE_ADDR", ""),
        )
        return Response(status=status.HTTP_202_ACCEPTED)


class BridgesView(StaffView):
    """Bridges."""

    @extend_schema(
        operation_id="realtime_bridges",
        tags=["realtime"],
        summary=_("List the bridge processes"),
        responses={200: serializers.BridgeSerializer(many=True), **STAFF_ERRORS},
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002  # a view
        """List the bridges that reported, the active one and the standby."""
        return Response(serializers.BridgeSerializer(get_cluster().bridges(), many=True).data)


class DeadLettersView(StaffView):
    """Dead letters."""

    @extend_schema(
        operation_id="realtime_dead_letters",
        tags=["realtime"],
        summary=_("List refused ingress messages, newest first"),
        parameters=[serializers.DeadLetterQuery],
        responses={200: serializers.DeadLetterPageSerializer, 400: INVALID, **STAFF_ERRORS},
    )
    def get(self, request: Request) -> Response:
        """List dead letters with their reasons."""
        query = self.query(serializers.DeadLetterQuery, request)
        letters = dead_letters.newest(query["limit"], before=query.get("before"))
        page: dict[str, Any] = {
            "total": dead_letters.count(),
            "results": letters,
            "next": letters[-1].id if len(letters) == query["limit"] else None,
        }
        return Response(serializers.DeadLetterPageSerializer(page).data)
