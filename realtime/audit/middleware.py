"""Every answer 403 of Django, whoever gave it: REST views, the admin, the CSRF check."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction

from asgiref.sync import markcoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.functional import SimpleLazyObject

from realtime.audit.events import Event, record

Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class AuditMiddleware:
    """Records permission denials; behind the authentication, so that it knows who was refused."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Answer]) -> None:
        self._get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Answer:
        """Pass the request on and look at the answer."""
        if self._is_async:
            return self._later(request)
        response = self._get_response(request)
        assert isinstance(response, HttpResponseBase)
        return _looked_at(request, response)

    async def _later(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        assert not isinstance(response, HttpResponseBase)
        return _looked_at(request, await response)


def _looked_at(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    if response.status_code == 403:
        record(
            Event.PERMISSION_DENIED,
            actor=_actor(request),
            target=f"{request.method} {request.path}",
            address=str(request.META.get("REMOTE_ADDR", "")),
        )
    return response


def _actor(request: HttpRequest) -> str:
    """Name who asked, as far as that is known without asking the database again."""
    holder = request.__dict__.get("user")
    if holder is None or isinstance(holder, SimpleLazyObject):
        holder = getattr(request, "_cached_user", None)
    return str(getattr(holder, "pk", None) or "")
