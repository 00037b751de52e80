"""Routes of the gateway, for ``include("realtime.urls")`` at the root of a project."""

from __future__ import annotations

from django.urls import include, path

urlpatterns = [
    path("api/v1/auth/", include(("realtime.api.auth_urls", "auth"))),
]
