"""Routes of the gateway, for ``include("realtime.urls")`` at the root of a project."""

from __future__ import annotations

from django.urls import include, path

from realtime import views

urlpatterns = [
    path("", views.console, name="console"),
    path("i18n/", include("django.conf.urls.i18n")),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.metrics, name="metrics"),
    path("api/v1/auth/", include(("realtime.api.auth_urls", "auth"))),
]
