"""What the staff API's views have in common."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from realtime.api.auth_serializers import DetailSerializer
from realtime.auth.rest import ServiceUnavailable
from realtime.codes import Unavailable

INVALID = OpenApiResponse(description=_("A parameter is not valid; one list of messages per field."))
UNAUTHORIZED = OpenApiResponse(DetailSerializer, description=_("There is no valid token."))
FORBIDDEN = OpenApiResponse(DetailSerializer, description=_("Only staff may do this."))
UNAVAILABLE = OpenApiResponse(DetailSerializer, description=_("Redis does not answer; try again."))
STAFF_ERRORS = {401: UNAUTHORIZED, 403: FORBIDDEN, 503: UNAVAILABLE}


class ClusterView(APIView):
    """A view of what Redis knows; answers 503 while Redis does not."""

    def handle_exception(self, exc: Exception) -> Response:
        """Turn ``Unavailable`` into a 503."""
        if isinstance(exc, Unavailable):
            exc = ServiceUnavailable()
        return super().handle_exception(exc)


class StaffView(ClusterView):
    """A view for staff only."""

    permission_classes = (IsAdminUser,)

    def query(self, serializer: type[Serializer[Any]], request: Request) -> dict[str, Any]:
        """Return the checked query parameters; answers 400 when one is wrong."""
        checked = serializer(data=request.query_params)
        checked.is_valid(raise_exception=True)
        return {name: value for name, value in checked.validated_data.items() if value is not None}
