"""Tokens we issue: pairs for people who log in, rotation, logout (simplejwt underneath)."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from realtime.auth.revocation import revoke_token, revoke_user
from realtime.auth.tokens import InvalidToken
from realtime.codes import CloseCode

_ACCESS_CLAIM: Final = "access"
"""In a refresh token: ``{jti: exp}`` of the access tokens of its session that may still be alive."""
_MAX_TRACKED: Final = 32


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a login or a rotation gives."""

    access: str
    refresh: str
    expires_in: int
    """Seconds the access token lives."""


class SessionToken(RefreshToken):
    """A refresh token that remembers which access tokens it gave, so that a logout can revoke them."""

    no_copy_claims: tuple[str, ...] = (  # type: ignore[assignment]  # simplejwt fixes the length
        *RefreshToken.no_copy_claims,
        _ACCESS_CLAIM,
    )

    @classmethod
    def opened_for(cls, user: AbstractBaseUser) -> SessionToken:
        """Open a session; unlike simplejwt's own, the database keeps the token's id and not the token."""
        session = cls()
        session["user_id"] = str(user.pk)
        session.row()
        return session

    def row(self) -> tuple[OutstandingToken, bool]:
        """Return the database row of this token, and whether it was made just now."""
        expires_at = datetime.fromtimestamp(self["exp"], tz=UTC)
        defaults = {"user_id": self["user_id"], "created_at": self.current_time, "expires_at": expires_at, "token": ""}
        return OutstandingToken.objects.get_or_create(jti=self["jti"], defaults=defaults)

    def new_access(self, user: AbstractBaseUser) -> AccessToken:
        """Issue an access token with the user's present name and role, and note its id."""
        access = self.access_token
        access["user_id"] = str(user.pk)
        access["username"] = user.get_username()
        access["is_staff"] = bool(getattr(user, "is_staff", False))
        alive = [(jti, exp) for jti, exp in self.tracked() if exp > time.time()]
        alive.append((access["jti"], access["exp"]))
        self[_ACCESS_CLAIM] = dict(alive[-_MAX_TRACKED:])
        return access

    def tracked(self) -> Iterable[tuple[str, int]]:
        """List the ids and expiries of this session's access tokens."""
        claim: dict[str, int] = self.get(_ACCESS_CLAIM, {})
        return claim.items()


def issue_pair(user: AbstractBaseUser) -> TokenPair:
    """Open a session for a user whose password was checked."""
    session = SessionToken.opened_for(user)
    return _pair(session, session.new_access(user))


def rotate(refresh: str) -> TokenPair:
    """Exchange a refresh token for a new pair; the old one is spent, even when two requests race.

    Raises ``InvalidToken``, also when the user is gone or not active any more.
    """
    session = _parse(refresh)
    user = _active_user(session)
    with transaction.atomic():
        _spend(session)
        session.set_jti()
        session.set_exp()
        session.set_iat()
        access = session.new_access(user)
        session.row()
    return _pair(session, access)


def end_session(refresh: str) -> None:
    """Log out: spend the refresh token, revoke its access tokens and cut their connections.

    Raises ``InvalidToken``, and ``Unavailable`` when the access tokens could not be revoked; the refresh token
    is spent even then.
    """
    session = _parse(refresh)
    _spend(session)
    for jti, expires_at in session.tracked():
        revoke_token(jti, expires_at, reason="logged out")


def end_all_sessions(user_id: str, *, reason: str = "", code: CloseCode = CloseCode.UNAUTHORIZED) -> None:
    """Spend all refresh tokens of a user, revoke the access tokens issued until now, cut the connections.

    Also right for users this database does not know: they have no refresh tokens here. Raises ``Unavailable``
    when the access tokens could not be revoked; the refresh tokens are spent even then.
    """
    alive = OutstandingToken.objects.filter(expires_at__gt=datetime.now(tz=UTC), blacklistedtoken=None)
    with suppress(ValueError, ValidationError):  # not the kind of key this database has
        spent = [BlacklistedToken(token=token) for token in alive.filter(user_id=user_id)]
        BlacklistedToken.objects.bulk_create(spent, ignore_conflicts=True)
    revoke_user(user_id, reason=reason, code=code)


def _parse(refresh: str) -> SessionToken:
    try:
        return SessionToken(cast("Any", refresh))
    except TokenError as error:
        raise InvalidToken("refresh") from error


def _active_user(session: SessionToken) -> AbstractBaseUser:
    try:
        return get_user_model().objects.get(pk=session["user_id"], is_active=True)
    except (get_user_model().DoesNotExist, KeyError, TypeError, ValueError, ValidationError) as error:
        raise InvalidToken("refresh") from error


def _spend(session: SessionToken) -> None:
    try:
        outstanding, _ = session.row()
    except (KeyError, ValueError, IntegrityError) as error:
        raise InvalidToken("refresh") from error
    _, fresh = BlacklistedToken.objects.get_or_create(token=outstanding)
    if not fresh:
        raise InvalidToken("refresh")


def _pair(session: SessionToken, access: AccessToken) -> TokenPair:
    return TokenPair(str(access), str(session), int(access["exp"] - access["iat"]))
