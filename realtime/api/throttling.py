"""Throttles of the REST API, counted in the cache that all processes share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import SimpleRateThrottle

from realtime import metrics
from realtime.auth.rest import ServiceUnavailable

if TYPE_CHECKING:  # the views module is what imports this one, by the settings
    from rest_framework.views import APIView

_DEFAULTS: Final = {"login": "30/min", "anonymous": "300/min", "user": "1200/min"}


class SharedThrottle(SimpleRateThrottle):
    """Counts requests in windows, by one atomic step, so that processes asked at once do not miss each other.

    REST framework's own throttle reads a list and writes it back. Without the cache the answer is 503: a limit that
    cannot be counted is not lifted.
    """

    num_requests: int | None
    duration: int | None
    """Seconds."""

    def get_rate(self) -> str:
        """Return the scope's rate in REST framework's settings, or our default."""
        scope = self.scope or ""
        rates: dict[str, Any] = {**api_settings.DEFAULT_THROTTLE_RATES}
        return str(rates.get(scope) or _DEFAULTS[scope])

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count this request; refuse it when it is one too many."""
        key = self.get_cache_key(request, view)
        if key is None or self.num_requests is None or not self.duration:
            return True
        window, passed = divmod(time.time(), self.duration)
        self.left = self.duration - passed
        if self._count(f"{key}:{int(window)}") <= self.num_requests:
            return True
        metrics.limits.inc(f"throttle_{self.scope}")
        return False

    def _count(self, key: str) -> int:
        try:
            self.cache.add(key, 0, timeout=int(self.duration or 0) + 1)
            return int(self.cache.incr(key))
        except ValueError:  # it expired between the two
            return 1
        except (RedisError, OSError) as error:
            raise ServiceUnavailable from error

    def wait(self) -> float:
        """Return the seconds until the next window."""
        return self.left


class AnonymousThrottle(SharedThrottle):
    """Bounds what one address may ask without a login."""

    scope = "anonymous"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:  # noqa: ARG002  # as the base class
        """Name the address; None for somebody who is logged in."""
        if request.user.is_authenticated:
            return None
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}


class UserThrottle(SharedThrottle):
    """Bounds what one user may ask, from wherever."""

    scope = "user"

    def get_cache_key(self, request: Request, view: APIView) -> str | None:  # noqa: ARG002  # as the base class
        """Name the user; None for somebody who is not logged in."""
        if not request.user.is_authenticated:
            return None
        return self.cache_format % {"scope": self.scope, "ident": request.user.pk}


class LoginThrottle(SharedThrottle):
    """Slows down password guessing, per client address."""

    scope = "login"

    def get_cache_key(self, request: Request, view: APIView) -> str:  # noqa: ARG002  # as the base class
        """Name the address."""
        return self.cache_format % {"scope": self.scope, "ident": self.get_ident(request)}
