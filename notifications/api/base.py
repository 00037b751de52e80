"""What the views have in common: who asks, and how a failed sending is answered."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, inline_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from notifications.errors import InvalidMessage, NotificationError

_Detail = inline_serializer("NotificationProblem", {"detail": serializers.CharField()})

INVALID = OpenApiResponse(description=_("The request is not valid; one list of messages per field."))
UNAUTHORIZED = OpenApiResponse(_Detail, description=_("There is no valid token."))
FORBIDDEN = OpenApiResponse(_Detail, description=_("Only staff may do this."))
NOT_FOUND = OpenApiResponse(_Detail, description=_("The caller has no such message."))
NOT_SENT = OpenApiResponse(_Detail, description=_("Redis did not take the message; try again with the same id."))


class NotSent(APIException):
    """503: Redis did not take the message."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = _("The message could not be sent; try again.")
    default_code = "not_sent"


class NotificationView(APIView):
    """Translates this package's errors: 400 for a refused message, 503 for one that was not sent."""

    def handle_exception(self, exc: Exception) -> Response:
        """Answer an error."""
        if isinstance(exc, InvalidMessage):
            exc = ValidationError({"detail": [str(exc)]})
        elif isinstance(exc, NotificationError):
            exc = NotSent()
        return super().handle_exception(exc)


def caller(request: Request) -> str:
    """Return the user id of the caller, as tokens carry it."""
    return str(getattr(request.user, "user_id", None) or request.user.pk)


def checked(serializer: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    """Return the valid fields of a body or of query parameters; answers 400 when one is wrong."""
    found = serializer(data=data)
    found.is_valid(raise_exception=True)
    return dict(found.validated_data)
