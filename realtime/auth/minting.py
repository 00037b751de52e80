"""An access token for any user id, for development, tests and the command line; people get theirs by logging in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any


def mint_access_token(
    user_id: str,
    *,
    username: str = "",
    is_staff: bool = False,
    ttl: float = 3600,
    rooms: Iterable[str] | None = None,
    claims: Mapping[str, Any] | None = None,
) -> str:
    """Sign an access token that is good for ``ttl`` seconds; the user need not be in the database.

    Issuer, audience, key and algorithm come from ``settings.SIMPLE_JWT``. ``rooms`` become the glob patterns of
    DESIGN 2.2; ``claims`` are added as they are.
    """
    from rest_framework_simplejwt.tokens import AccessToken

    token = AccessToken()
    token.set_exp(lifetime=timedelta(seconds=ttl))
    token["user_id"] = user_id
    token["username"] = username
    token["is_staff"] = is_staff
    if rooms is not None:
        token["rooms"] = list(rooms)
    for name, value in (claims or {}).items():
        token[name] = value
    return str(token)
