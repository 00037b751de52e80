"""What a change of a user does to the tokens that are out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.test import RequestFactory

from realtime.auth import InvalidToken, issuing
from realtime.codes import CloseCode, Unavailable

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password="pass-word-1", is_staff=True)


@pytest.fixture
def revoked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, CloseCode]]:
    found: list[tuple[str, CloseCode]] = []
    monkeypatch.setattr(issuing, "revoke_user", lambda user_id, *, reason, code: found.append((user_id, code)))
    return found


@pytest.fixture
def commit(django_capture_on_commit_callbacks: Any) -> Any:
    @contextlib.contextmanager
    def run() -> Iterator[None]:
        with django_capture_on_commit_callbacks(execute=True):
            yield

    return run


def test_deactivation_revokes(ada: User, revoked: list[Any], commit: Any) -> None:
    ada.is_active = False
    with commit():
        ada.save()
    assert revoked == [(str(ada.pk), CloseCode.FORBIDDEN)]


def test_a_new_password_revokes(ada: User, revoked: list[Any], commit: Any) -> None:
    ada.set_password("pass-word-2")
    with commit():
        ada.save()
    assert revoked == [(str(ada.pk), CloseCode.UNAUTHORIZED)]


def test_losing_the_staff_role_revokes(ada: User, revoked: list[Any], commit: Any) -> None:
    ada.is_staff = False
    with commit():
        ada.save()
    assert revoked == [(str(ada.pk), CloseCode.UNAUTHORIZED)]


def test_deletion_revokes(ada: User, revoked: list[Any], commit: Any) -> None:
    user_id = str(ada.pk)
    with commit():
        ada.delete()
    assert revoked == [(user_id, CloseCode.FORBIDDEN)]


def test_other_changes_and_new_users_revoke_nothing(ada: User, revoked: list[Any], commit: Any) -> None:
    with commit():
        ada.email = "ada@example.com"
        ada.save()
        ada.save(update_fields=["last_login"])
        User.objects.create_user("bob", password="pass-word-1")
    assert revoked == []


def test_a_login_that_renews_the_password_hash_revokes_nothing(
    ada: User, revoked: list[Any], commit: Any, settings: Any
) -> None:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    with commit():
        assert authenticate(RequestFactory().post("/"), username="ada", password="pass-word-1")
    ada.refresh_from_db()
    assert ada.password.startswith("pbkdf2")
    assert revoked == []


@pytest.mark.usefixtures("revoked")
def test_the_refresh_tokens_of_all_sessions_are_spent(ada: User, commit: Any) -> None:
    pairs = [issuing.issue_pair(ada), issuing.issue_pair(ada)]
    ada.set_password("pass-word-2")
    with commit():
        ada.save()
    for pair in pairs:
        with pytest.raises(InvalidToken):
            issuing.rotate(pair.refresh)
    assert issuing.rotate(issuing.issue_pair(ada).refresh)


def test_a_rolled_back_change_revokes_nothing(
    ada: User, revoked: list[Any], django_capture_on_commit_callbacks: Any
) -> None:
    ada.set_password("pass-word-2")
    with django_capture_on_commit_callbacks(execute=False):
        ada.save()
    assert revoked == []


def test_without_redis_the_change_is_kept_and_the_failure_logged(
    ada: User, commit: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unavailable(*args: Any, **kwargs: Any) -> None:
        raise Unavailable("Redis is down")

    monkeypatch.setattr(issuing, "revoke_user", unavailable)
    ada.is_active = False
    with commit():
        ada.save()
    assert not User.objects.get().is_active
    assert "could not be revoked" in caplog.text


def test_users_of_another_service_have_no_sessions_here(revoked: list[Any]) -> None:
    issuing.end_all_sessions("u:用户")
    assert revoked == [("u:用户", CloseCode.UNAUTHORIZED)]
