"""The same tokens for the HTTP APIs: authentication classes of Django REST framework."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _
from rest_framework import authentication, exceptions, status
from rest_framework.request import Request

from realtime import audit
from realtime.auth import revocation
from realtime.auth.tokens import InvalidToken, get_verifier
from realtime.codes import Unavailable
from realtime.principal import Principal


@dataclass(frozen=True, slots=True)
class RequestUser:
    """``request.user`` of the APIs: light, made from the token, without a database row behind it."""

    user_id: str
    username: str
    is_staff: bool
    is_active: bool = True
    is_authenticated: bool = True
    is_anonymous: bool = False

    @property
    def pk(self) -> str:
        """The user id, under the name Django and its throttles use."""
        return self.user_id

    @property
    def id(self) -> str:
        """The user id."""
        return self.user_id

    def __str__(self) -> str:
        return self.username or self.user_id


class ServiceUnavailable(exceptions.APIException):
    """503: Redis does not answer, so the request can be tried again."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = _("The service is not available at the moment.")
    default_code = "unavailable"


class TokenAuthentication(authentication.BaseAuthentication):
    """``Authorization: Bearer <access token>``; ``request.auth`` is the ``Principal``."""

    def authenticate(self, request: Request) -> tuple[RequestUser, Principal] | None:
        """Return the token's holder; ``None`` without a bearer header. Answers 401, or 503 without Redis."""
        scheme, _space, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            principal = get_verifier().verify(token.strip())
            revocation.check(principal)
        except InvalidToken as error:
            address = str(request.META.get("REMOTE_ADDR", ""))
            audit.record(audit.Event.TOKEN_REFUSED, target=request.path, address=address, detail=error.reason)
            raise exceptions.AuthenticationFailed(_("The token is not valid.")) from error
        except Unavailable as error:
            raise ServiceUnavailable from error
        return RequestUser(principal.user_id, principal.username, principal.is_staff), principal

    def authenticate_header(self, _request: Request) -> str:
        """Name the scheme for the ``WWW-Authenticate`` header of a 401."""
        return 'Bearer realm="api"'


class SessionAuthentication(authentication.SessionAuthentication):
    """Django's login session (with its CSRF check), for people who come from the admin or the docs page."""

    def authenticate(self, request: Request) -> tuple[RequestUser, None] | None:
        """Return the logged-in user in the same light form as a token's holder."""
        found = super().authenticate(request)
        if found is None:
            return None
        user = found[0]
        return RequestUser(str(user.pk), user.get_username(), user.is_staff), None
