"""Token → Principal: signature, times and claims of a JWT, on the CPU alone (RFC 8725, DESIGN 2.2)."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt
from django.core.signals import setting_changed

from realtime.auth.jwks import KeySet
from realtime.codes import RealtimeError, Unavailable
from realtime.principal import Principal

ACCESS: Final = "access"
MAX_TOKEN_LENGTH: Final = 16_384
"""A user id of 512 characters outside the basic plane alone makes 8.3 KB, when the issuer escapes them in its JSON."""
"""Characters; longer tokens are refused before anything is decoded."""
MAX_NAME_LENGTH: Final = 512
MAX_JTI_LENGTH: Final = 255

_UNFIT: Final = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and lone surrogates, which no UTF-8 frame could carry."""


class InvalidToken(RealtimeError):
    """A token that is refused; ``reason`` is one word for logs and metrics and holds nothing of the token.

    Reasons: ``missing``, ``malformed``, ``algorithm``, ``signature``, ``expired``, ``early``, ``issuer``,
    ``audience``, ``type``, ``claims``, ``revoked``. A client is told only that the token is not valid.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"token refused: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """What a token must satisfy."""

    algorithm: str
    """The one accepted algorithm; the token's own header never chooses."""
    keys: tuple[str, ...]
    """Verifying keys, newest first; several while a key is being rotated."""
    issuer: str | None = None
    audience: str | None = None
    leeway: float = 0.0
    """Seconds of clock difference to tolerate."""
    allow_untyped: bool = False
    """Accept tokens of another issuer, which carry no ``token_type``."""
    jwks: str = ""
    """File or https URL of a JSON Web Key Set whose keys are accepted besides ``keys``."""
    jwks_ttl: float = 300.0
    """Seconds after which the key set is read again."""


class TokenVerifier:
    """Turns access tokens into principals under fixed rules; safe to share between threads."""

    def __init__(self, rules: TokenRules) -> None:
        if rules.algorithm.lower() == "none":
            raise ValueError("the algorithm 'none' is never accepted")
        self._rules = rules
        algorithm = jwt.get_algorithm_by_name(rules.algorithm)
        self._keys = [algorithm.prepare_key(key) for key in rules.keys]
        self._algorithms = [rules.algorithm]
        self.key_set = KeySet(rules.jwks, rules.algorithm, ttl=rules.jwks_ttl) if rules.jwks else None
        """Keys from outside; ``load()`` it once before the first token."""

    def verify(self, token: str) -> Principal:
        """Return the holder of ``token``.

        Raises ``InvalidToken``, for every kind of bad token alike and before any costly work where possible, and
        ``Unavailable`` while a key set has not been read at all.
        """
        if not token:
            raise InvalidToken("missing")
        if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
            raise InvalidToken("malformed")
        claims = self._decode(token)
        self._check_type(claims)
        return _principal(claims)

    def _decode(self, token: str) -> Mapping[str, Any]:
        failure = "signature"
        for key in self._candidates(token):
            try:
                return jwt.decode(
                    token,
                    key,
                    algorithms=self._algorithms,
                    options={"require": ["exp"], "verify_sub": False, "verify_jti": False},
                    issuer=self._rules.issuer,
                    audience=self._rules.audience,
                    leeway=self._rules.leeway,
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError) as error:
                failure = _reason(error)
                break
        raise InvalidToken(failure)

    def _candidates(self, token: str) -> list[Any]:
        if self.key_set is None:
            return self._keys
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise InvalidToken("malformed") from None
        if not self._keys and not self.key_set.loaded:
            raise Unavailable("the verifying keys could not be read yet")
        return [*self._keys, *self.key_set.candidates(kid if isinstance(kid, str) else None)]

    def _check_type(self, claims: Mapping[str, Any]) -> None:
        if "token_type" not in claims:
            if not self._rules.allow_untyped:
                raise InvalidToken("type")
        elif claims["token_type"] != ACCESS:
            raise InvalidToken("type")


_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.ImmatureSignatureError, "early"),
    (jwt.InvalidIssuerError, "issuer"),
    (jwt.InvalidAudienceError, "audience"),
    (jwt.InvalidAlgorithmError, "algorithm"),
    (jwt.MissingRequiredClaimError, "claims"),
    (jwt.InvalidIssuedAtError, "claims"),
)


def _reason(error: Exception) -> str:
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "malformed")


def _principal(claims: Mapping[str, Any]) -> Principal:
    return Principal(
        user_id=_user_id(claims.get("user_id")),
        username=_username(claims.get("username")),
        is_staff=claims.get("is_staff") is True,
        jti=_jti(claims.get("jti")),
        expires_at=_seconds(claims["exp"]),
        rooms=_rooms(claims["rooms"]) if "rooms" in claims else None,
        issued_at=_seconds(claims.get("iat", 0)),
    )


def _user_id(value: object) -> str:
    if isinstance(value, float) and math.isfinite(value):
        value = str(int(value)) if value.is_integer() else str(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _is_name(value):
        raise InvalidToken("claims")
    return value


def _username(value: object) -> str:
    return value if isinstance(value, str) and _is_name(value) else ""


def _jti(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_JTI_LENGTH or _UNFIT.search(value):
        raise InvalidToken("claims")
    return value


def _rooms(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(map(_is_name, value)):
        raise InvalidToken("claims")
    return tuple(value)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME_LENGTH and not _UNFIT.search(value)


def _seconds(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidToken("claims") from error


def rules_from_settings() -> TokenRules:
    """Read the rules from Django's settings: ``SIMPLE_JWT`` and ``JWT_*``.

    ``JWT_VERIFYING_KEYS`` lists further (older) keys that are still accepted, ``JWT_JWKS`` names a key set; with an
    asymmetric algorithm and a key set, no key of our own is needed.
    """
    from django.conf import settings

    simple: Mapping[str, Any] = getattr(settings, "SIMPLE_JWT", {})
    algorithm = simple.get("ALGORITHM", "HS256")
    key = simple.get("VERIFYING_KEY") or simple.get("SIGNING_KEY") or settings.SECRET_KEY
    if algorithm.startswith("HS"):
        key = simple.get("SIGNING_KEY") or settings.SECRET_KEY
    jwks = getattr(settings, "JWT_JWKS", "")
    own = simple.get("VERIFYING_KEY") if jwks else key
    leeway = simple.get("LEEWAY", 0)
    return TokenRules(
        algorithm=algorithm,
        keys=(*([own] if own else []), *getattr(settings, "JWT_VERIFYING_KEYS", ())),
        issuer=simple.get("ISSUER") or None,
        audience=simple.get("AUDIENCE") or None,
        leeway=leeway.total_seconds() if hasattr(leeway, "total_seconds") else float(leeway),
        allow_untyped=bool(getattr(settings, "JWT_ALLOW_UNTYPED", False)),
        jwks=jwks,
        jwks_ttl=float(getattr(settings, "JWT_JWKS_TTL", 300)),
    )


@functools.cache
def get_verifier() -> TokenVerifier:
    """Return the project's verifier; built once, and again after a setting changed in a test."""
    return TokenVerifier(rules_from_settings())


def _forget_verifier(*, setting: str, **_: Any) -> None:
    if setting in {"SIMPLE_JWT", "SECRET_KEY"} or setting.startswith("JWT_"):
        get_verifier.cache_clear()


setting_changed.connect(_forget_verifier, dispatch_uid="realtime.auth.tokens")
