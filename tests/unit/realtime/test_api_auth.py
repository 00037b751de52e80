"""Token endpoints: log in, refresh, log out."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken

from realtime.auth import InvalidToken, get_verifier, issuing
from realtime.auth.minting import mint_access_token
from realtime.auth.tokens import MAX_TOKEN_LENGTH
from realtime.codes import Unavailable

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_throttle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.api.auth_views.LoginThrottle.get_rate", lambda self: "1000/min")


@pytest.fixture
def revoked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(issuing, "revoke_token", lambda jti, expires_at, reason="": found.append(jti))
    return found


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", password="pass-word-1", is_staff=True)


def post(name: str, **body: Any) -> Any:
    return APIClient().post(f"/api/v1/auth/{name}/", body, format="json")


def login() -> dict[str, Any]:
    response = post("token", username="ada", password="pass-word-1")
    assert response.status_code == 200, response.content
    pair: dict[str, Any] = response.json()
    return pair


def test_a_login_gives_a_token_the_gateway_accepts(ada: User) -> None:
    pair = login()
    principal = get_verifier().verify(pair["access"])
    assert (principal.user_id, principal.username, principal.is_staff) == (str(ada.pk), "ada", True)
    assert principal.jti
    assert pair["expires_in"] == 3600


def test_a_refresh_token_does_not_open_the_gateway(ada: User) -> None:
    with pytest.raises(InvalidToken, match="type"):
        get_verifier().verify(login()["refresh"])


@pytest.mark.parametrize(("name", "password"), [("ada", "wrong"), ("nobody", "pass-word-1"), ("ada", " pass-word-1")])
def test_wrong_credentials_are_one_and_the_same_401(ada: User, name: str, password: str) -> None:
    response = post("token", username=name, password=password)
    assert response.status_code == 401
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert response.json() == {"detail": "The username or the password is wrong."}


def test_an_inactive_user_cannot_log_in(ada: User) -> None:
    User.objects.update(is_active=False)
    assert post("token", username="ada", password="pass-word-1").status_code == 401


@pytest.mark.parametrize(
    "body", [{}, {"username": "ada"}, {"username": "a\x00", "password": "x"}, {"username": ["ada"], "password": {}}]
)
def test_a_malformed_login_is_a_400(body: dict[str, Any]) -> None:
    assert post("token", **body).status_code == 400


def test_a_refresh_token_is_good_for_one_use(ada: User) -> None:
    first = login()
    second = post("refresh", refresh=first["refresh"])
    assert second.status_code == 200
    assert get_verifier().verify(second.json()["access"]).user_id == str(ada.pk)
    assert post("refresh", refresh=first["refresh"]).status_code == 401
    assert post("refresh", refresh=second.json()["refresh"]).status_code == 200


def test_a_refresh_reads_the_users_role_again(ada: User) -> None:
    pair = login()
    User.objects.update(is_staff=False, username="ada2")
    access = get_verifier().verify(post("refresh", refresh=pair["refresh"]).json()["access"])
    assert (access.is_staff, access.username) == (False, "ada2")


@pytest.mark.parametrize("change", ["delete", "deactivate"])
def test_who_is_gone_cannot_refresh(ada: User, change: str) -> None:
    pair = login()
    if change == "delete":
        ada.delete()
    else:
        User.objects.update(is_active=False)
    assert post("refresh", refresh=pair["refresh"]).status_code == 401


@pytest.mark.parametrize("endpoint", ["refresh", "logout"])
def test_what_is_no_refresh_token_is_refused(ada: User, endpoint: str) -> None:
    pair = login()
    for bad in (pair["access"], "x", pair["refresh"][:-2] + "xx", mint_access_token("1")):
        assert post(endpoint, refresh=bad).status_code == 401
    assert post(endpoint).status_code == 400
    assert post(endpoint, refresh="x" * (MAX_TOKEN_LENGTH + 1)).status_code == 400


def test_a_logout_spends_the_session_and_revokes_all_its_access_tokens(ada: User, revoked: list[str]) -> None:
    first = login()
    second = post("refresh", refresh=first["refresh"]).json()
    assert post("logout", refresh=second["refresh"]).status_code == 204
    assert revoked == [get_verifier().verify(pair["access"]).jti for pair in (first, second)]
    assert post("refresh", refresh=second["refresh"]).status_code == 401
    assert post("logout", refresh=second["refresh"]).status_code == 401


def test_a_logout_without_redis_spends_the_session_and_says_503(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(*args: Any, **kwargs: Any) -> None:
        raise Unavailable("Redis is down")

    monkeypatch.setattr(issuing, "revoke_token", unavailable)
    pair = login()
    assert post("logout", refresh=pair["refresh"]).status_code == 503
    assert post("refresh", refresh=pair["refresh"]).status_code == 401


def test_the_database_never_holds_a_token(ada: User) -> None:
    post("refresh", refresh=login()["refresh"])
    assert OutstandingToken.objects.count() == 2
    assert set(OutstandingToken.objects.values_list("token", flat=True)) == {""}


def test_many_attempts_from_one_address_are_slowed_down(ada: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.api.auth_views.LoginThrottle.get_rate", lambda self: "3/min")
    codes = [APIClient(REMOTE_ADDR="192.0.2.9").post("/api/v1/auth/token/", {}).status_code for _ in range(5)]
    assert codes == [400, 400, 400, 429, 429]
