"""Counting requests of the REST API."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from redis.exceptions import ConnectionError as RedisConnectionError
from rest_framework.test import APIRequestFactory

from realtime.api.throttling import AnonymousThrottle, LoginThrottle, UserThrottle
from realtime.auth.rest import RequestUser, ServiceUnavailable


def asked(user: RequestUser | None = None, address: str = "192.0.2.1") -> Any:
    request: Any = APIRequestFactory().get("/", REMOTE_ADDR=address)
    request.user = user or AnonymousUser()
    return request


@pytest.fixture(autouse=True)
def _three_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.core.cache import cache

    cache.clear()
    monkeypatch.setattr("realtime.api.throttling.SharedThrottle.get_rate", lambda self: "3/day")


def answers(kind: type, request: Any, tries: int = 5) -> list[bool]:
    return [kind().allow_request(request, None) for _ in range(tries)]


@pytest.mark.parametrize("kind", [AnonymousThrottle, LoginThrottle])
def test_an_address_has_so_many_requests_and_another_its_own(kind: type) -> None:
    assert answers(kind, asked()) == [True] * 3 + [False] * 2
    assert answers(kind, asked(address="192.0.2.2"), 1) == [True]


def test_a_user_is_counted_wherever_they_come_from() -> None:
    ann, bob = RequestUser("ann", "", False), RequestUser("bob", "", False)
    assert answers(UserThrottle, asked(ann), 3) == [True] * 3
    assert answers(UserThrottle, asked(ann, "192.0.2.9"), 1) == [False]
    assert answers(UserThrottle, asked(bob), 1) == [True]


def test_each_throttle_leaves_the_others_people_alone() -> None:
    assert answers(AnonymousThrottle, asked(RequestUser("ann", "", False))) == [True] * 5
    assert answers(UserThrottle, asked()) == [True] * 5


def test_who_is_refused_is_told_how_long_to_wait() -> None:
    throttle = LoginThrottle()
    throttle.allow_request(asked(), None)  # type: ignore[arg-type]  # the view is not looked at
    assert 0 < throttle.wait() <= 86_400


def test_without_the_cache_nobody_is_let_through_uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(LoginThrottle.cache, "add", away)
    with pytest.raises(ServiceUnavailable):
        LoginThrottle().allow_request(asked(), None)  # type: ignore[arg-type]  # the view is not looked at
