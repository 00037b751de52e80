"""``/api/v1/auth/``: log in, refresh, log out."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in
from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from realtime.api.auth_serializers import DetailSerializer, LoginSerializer, RefreshSerializer, TokenPairSerializer
from realtime.api.throttling import LoginThrottle
from realtime.auth import issuing
from realtime.auth.rest import ServiceUnavailable, TokenAuthentication
from realtime.auth.tokens import InvalidToken
from realtime.codes import Unavailable

_REFUSED = OpenApiResponse(DetailSerializer, description=_("The credentials or the token are not valid."))
_INVALID = OpenApiResponse(description=_("A field is missing or not valid; one list of messages per field."))
_THROTTLED = OpenApiResponse(DetailSerializer, description=_("Too many attempts from this address."))


class TokenEndpoint(APIView):
    """Base of the endpoints that anybody may call and that take credentials in the body."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (LoginThrottle,)

    def get_authenticate_header(self, request: Request) -> str:
        """Let a refusal be a 401 although no authentication class runs before."""
        return TokenAuthentication().authenticate_header(request)

    def clean(self, serializer: type[Serializer[Any]], request: Request) -> Any:
        """Return the checked body; answers 400 when it is wrong."""
        checked = serializer(data=request.data)
        checked.is_valid(raise_exception=True)
        return checked.validated_data


class TokenView(TokenEndpoint):
    """Log in."""

    @extend_schema(
        operation_id="auth_token",
        tags=["auth"],
        summary=_("Log in with a username and a password"),
        request=LoginSerializer,
        responses={200: TokenPairSerializer, 400: _INVALID, 401: _REFUSED, 429: _THROTTLED},
    )
    def post(self, request: Request) -> Response:
        """Exchange a username and a password for a token pair."""
        body = self.clean(LoginSerializer, request)
        user = authenticate(request._request, username=body["username"], password=body["password"])  # noqa: SLF001  # lock-outs
        if user is None:
            raise AuthenticationFailed(_("The username or the password is wrong."))
        # Ends the count of wrong passwords, and goes into the audit.
        user_logged_in.send(sender=type(user), request=request._request, user=user)  # noqa: SLF001
        return Response(TokenPairSerializer(issuing.issue_pair(user)).data)


class RefreshView(TokenEndpoint):
    """Refresh."""

    @extend_schema(
        operation_id="auth_refresh",
        tags=["auth"],
        summary=_("Exchange a refresh token for a new pair"),
        request=RefreshSerializer,
        responses={200: TokenPairSerializer, 400: _INVALID, 401: _REFUSED, 429: _THROTTLED},
    )
    def post(self, request: Request) -> Response:
        """Spend a refresh token and return a new pair."""
        try:
            pair = issuing.rotate(self.clean(RefreshSerializer, request)["refresh"])
        except InvalidToken as error:
            raise AuthenticationFailed(_("The token is not valid.")) from error
        return Response(TokenPairSerializer(pair).data)


class LogoutView(TokenEndpoint):
    """Log out."""

    @extend_schema(
        operation_id="auth_logout",
        tags=["auth"],
        summary=_("End a session: spend its refresh token, revoke its access tokens, close its connections"),
        request=RefreshSerializer,
        responses={
            204: OpenApiResponse(description=_("Logged out.")),
            400: _INVALID,
            401: _REFUSED,
            429: _THROTTLED,
            503: OpenApiResponse(DetailSerializer, description=_("The access tokens could not be revoked.")),
        },
    )
    def post(self, request: Request) -> Response:
        """End the session the refresh token belongs to."""
        try:
            issuing.end_session(self.clean(RefreshSerializer, request)["refresh"])
        except InvalidToken as error:
            raise AuthenticationFailed(_("The token is not valid.")) from error
        except Unavailable as error:
            raise ServiceUnavailable from error
        return Response(status=status.HTTP_204_NO_CONTENT)
