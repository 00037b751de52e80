"""Who a proxied request comes from, where its route wants to know: the gateway's tokens, revocations included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ginforge.proxy.answers import Refusal
from realtime.auth.credentials import SUBPROTOCOL, token_from_scope
from realtime.auth.revocation import is_revoked, revocation_keys
from realtime.auth.tokens import InvalidToken, get_verifier
from realtime.codes import RealtimeError
from realtime.conf import get_settings
from realtime.principal import Principal


class Gatekeeper:
    """Verifies tokens as the gateway's WebSocket does."""

    def __init__(self, redis_url: str) -> None:
        self._redis: Redis = Redis.from_url(redis_url, socket_connect_timeout=1, socket_timeout=1)

    async def admit(self, scope: Mapping[str, Any], auth: str) -> Principal | None:
        """Return the verified user; ``None`` on a route that asks for none, or has none to offer and need not.

        Raises ``Refusal``: 401, 403, or 503 while it cannot be known.
        """
        if auth == "none":
            return None
        websocket = scope["type"] == "websocket"
        credentials = token_from_scope(scope, allow_query=websocket and get_settings().allow_query_token)
        if credentials is None:
            if auth == "optional":
                return None
            raise _unauthorized("A token is needed")
        try:
            principal = get_verifier().verify(credentials.token)
        except InvalidToken:
            raise _unauthorized("The token is not valid") from None
        except RealtimeError:
            raise Refusal(503, "unavailable", "Tokens cannot be verified now", ((b"retry-after", b"1"),)) from None
        await self._check_revocation(principal)
        if auth == "staff" and not principal.is_staff:
            raise Refusal(403, "forbidden", "Only staff may do this")
        return principal

    async def close(self) -> None:
        """Give back the connections to Redis."""
        await self._redis.aclose()

    async def _check_revocation(self, principal: Principal) -> None:
        try:
            values = await self._redis.mget(revocation_keys(principal))
        except (RedisError, OSError):
            if get_settings().fail_open_revocation:
                return
            text = "Revocations cannot be read now"
            raise Refusal(503, "unavailable", text, ((b"retry-after", b"1"),)) from None
        if is_revoked(principal, cast("list[bytes | None]", values)):
            raise _unauthorized("The token is not valid")


def subprotocols_for_upstream(scope: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a client offers less ``bearer`` and the token after it, which are the gateway's."""
    offered = list(scope.get("subprotocols") or ())
    if SUBPROTOCOL in offered:
        at = offered.index(SUBPROTOCOL)
        del offered[at : at + 2]
    return tuple(offered)


def _unauthorized(text: str) -> Refusal:
    return Refusal(401, "unauthorized", text, ((b"www-authenticate", b"Bearer"),))
