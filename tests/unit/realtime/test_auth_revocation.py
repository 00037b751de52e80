"""Revocation: which tokens the keys in Redis concern."""

from __future__ import annotations

from realtime.auth.revocation import is_revoked, revocation_keys
from realtime.principal import Principal


def holder(jti: str | None = "j", issued_at: float = 100.0) -> Principal:
    return Principal("u", "", is_staff=False, jti=jti, expires_at=200.0, issued_at=issued_at)


def test_a_token_is_revoked_by_its_id_or_by_its_users_time() -> None:
    assert revocation_keys(holder()) == ["ginforge:revoked:user:u", "ginforge:revoked:jti:j"]
    assert not is_revoked(holder(), [None, None])
    assert is_revoked(holder(), [None, b"1"])
    assert is_revoked(holder(), [b"100", None])
    assert not is_revoked(holder(), [b"99", None])


def test_a_token_without_an_id_or_a_time_can_still_be_revoked_with_its_user() -> None:
    assert revocation_keys(holder(jti=None)) == ["ginforge:revoked:user:u"]
    assert is_revoked(holder(jti=None, issued_at=0.0), [b"1"])
    assert not is_revoked(holder(jti=None, issued_at=0.0), [None])
