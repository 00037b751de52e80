"""Who is connected: what a verified token says about its holder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Principal:
    """The holder of a verified access token."""

    user_id: str
    """1 to 512 Unicode characters, no control characters."""
    username: str
    """For display; empty when the token names none."""
    is_staff: bool
    jti: str | None
    """The token's own id, by which it can be revoked."""
    expires_at: float
    """Unix seconds; a connection made with this token must not outlive it."""
    rooms: tuple[str, ...] | None = None
    """Glob patterns of the only rooms the holder may join; ``None`` leaves it to the room policy."""
    issued_at: float = 0.0
    """Unix seconds; 0 when the token does not say, which every "all tokens before" revocation then catches."""
