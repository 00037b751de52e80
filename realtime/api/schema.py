"""What the OpenAPI schema says about authentication; imported when the app is ready."""

from __future__ import annotations

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from realtime.auth.rest import SessionAuthentication, TokenAuthentication


class TokenAuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes ``TokenAuthentication`` in the OpenAPI schema."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, _auto_schema: AutoSchema) -> dict[str, str]:
        """Return the security scheme object."""
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class SessionAuthenticationScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describes ``SessionAuthentication`` in the OpenAPI schema."""

    target_class = SessionAuthentication
    name = "session"

    def get_security_definition(self, _auto_schema: AutoSchema) -> dict[str, str]:
        """Return the security scheme object."""
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
