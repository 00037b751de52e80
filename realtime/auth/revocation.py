"""Access tokens that no longer count although they have not expired: by token id, or all of a user until now.

A revocation is a Redis key that expires with the tokens it concerns, and a control event that cuts the live
connections on every instance. Logout, staff and the admin revoke; connects and HTTP requests ask.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Final

from realtime import audit, keys
from realtime.auth.tokens import InvalidToken
from realtime.blocking_redis import redis_or_unavailable
from realtime.cluster import get_cluster
from realtime.codes import CloseCode, Unavailable
from realtime.conf import get_settings
from realtime.principal import Principal

logger = logging.getLogger(__name__)

USER_REVOCATION_TTL: Final = 7 * 86_400
"""Seconds; also covers tokens of other issuers, whose lifetime is not known here."""


def revocation_keys(principal: Principal) -> list[str]:
    """Name the Redis keys whose values ``is_revoked`` wants, for one MGET."""
    found = [keys.revoked_user(principal.user_id)]
    if principal.jti is not None:
        found.append(keys.revoked_token(principal.jti))
    return found


def is_revoked(principal: Principal, values: Sequence[bytes | None]) -> bool:
    """Tell from the values of ``revocation_keys`` whether the holder's token is revoked."""
    until = values[0]
    if until is not None and principal.issued_at <= float(until):
        return True
    return any(value is not None for value in values[1:])


def check(principal: Principal) -> None:
    """Raise ``InvalidToken`` when the token is revoked; blocks for one Redis round trip.

    Raises ``Unavailable`` when Redis does not answer, unless the setting ``fail_open_revocation`` is on.
    """
    try:
        with redis_or_unavailable("revocations cannot be read") as redis:
            values = redis.mget(revocation_keys(principal))
    except Unavailable:
        if get_settings().fail_open_revocation:
            return
        raise
    if is_revoked(principal, values):
        raise InvalidToken("revoked")


def revoke_token(jti: str, expires_at: float, *, reason: str = "", code: CloseCode = CloseCode.UNAUTHORIZED) -> None:
    """Keep one access token out until ``expires_at`` (Unix seconds) and cut its connections with ``code``.

    Raises ``Unavailable``.
    """
    _store(keys.revoked_token(jti), "1", ttl=expires_at - time.time())
    _cut(reason, code=code, jti=jti)


def revoke_user(user_id: str, *, reason: str = "", code: CloseCode = CloseCode.UNAUTHORIZED) -> None:
    """Keep out all tokens a user was issued until now, and cut the user's connections with ``code``.

    Raises ``Unavailable``.
    """
    _store(keys.revoked_user(user_id), str(int(time.time())), ttl=USER_REVOCATION_TTL)
    _cut(reason, code=code, user_id=user_id)


def _store(key: str, value: str, *, ttl: float) -> None:
    if ttl <= 0:
        return
    with redis_or_unavailable("the revocation could not be stored") as redis:
        redis.set(key, value, px=int(ttl * 1000) + 1000)


def _cut(reason: str, *, code: CloseCode, **target: str) -> None:
    get_cluster().disconnect(**target, code=int(code), reason=reason)
    logger.info("revoked", extra={"code": int(code), **target})
    named = " ".join(f"{name} {value}" for name, value in target.items())
    audit.record(audit.Event.REVOKED, target=named, detail=f"code {int(code)} {reason}".strip())
