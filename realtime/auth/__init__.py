"""Authentication: token → Principal, how a request carries its token, Origin check, revocation.

Nothing here reads the database; ``revocation`` and ``rest`` are imported by their own names.
"""

from realtime.auth.credentials import SUBPROTOCOL, Credentials, token_from_scope
from realtime.auth.origin import origin_allowed
from realtime.auth.tokens import InvalidToken, TokenRules, TokenVerifier, get_verifier
from realtime.principal import Principal

__all__ = [
    "SUBPROTOCOL",
    "Credentials",
    "InvalidToken",
    "Principal",
    "TokenRules",
    "TokenVerifier",
    "get_verifier",
    "origin_allowed",
    "token_from_scope",
]
