"""What the views have in common: who asks, and how a failed sending is answered."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, inline_serializer
from rest_framework import serializers, status
from rest_framework.exceptions import APIException, ParseError, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from notifications.errors import InvalidMessage, NotificationError
from notifications.outgoing import MAX_PAYLOAD

_Detail = inline_serializer("NotificationProblem", {"detail": serializers.CharField()})

INVALID = OpenApiResponse(description=_("The request is not valid; one list of messages per field."))
UNAUTHORIZED = OpenApiResponse(_Detail, description=_("There is no valid token."))
FORBIDDEN = OpenApiResponse(_Detail, description=_("Only staff may do this."))
NOT_FOUND = OpenApiResponse(_Detail, description=_("The caller has no such message."))
NOT_SENT = OpenApiResponse(_Detail, description=_("Redis did not take the message; try again with the same id."))


_MAX_BODY = 2 * MAX_PAYLOAD
"""Bytes; JSON may write a character longer than the message needs it."""


class NotSent(APIException):
    """503: Redis did not take the message."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = _("The message could not be sent; try again.")
    default_code = "not_sent"


class TooLarge(APIException):
    """413: the body is too large."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = _("The body is too large.")
    default_code = "too_large"


class NotificationView(APIView):
    """Translates this package's errors: 400 for a refused message, 503 for one that was not sent.

    A body larger than any message could be is refused before it is read.
    """

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check the size of the body."""
        super().initial(request, *args, **kwargs)
        if int(request.META.get("CONTENT_LENGTH") or 0) > _MAX_BODY:
            raise TooLarge

    def handle_exception(self, exc: Exception) -> Response:
        """Answer an error."""
        if isinstance(exc, InvalidMessage):
            exc = ValidationError({"detail": [str(exc)]})
        elif isinstance(exc, RecursionError):
            exc = ParseError(_("JSON is nested too deep."))
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
