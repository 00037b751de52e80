"""Routes of the gateway, for ``include("realtime.urls")`` at the root of a project."""

from __future__ import annotations

from django.urls import include, path

from realtime import views
from realtime.api import presence_views

urlpatterns = [
    path("", views.console, name="console"),
    path("favicon.ico", views.favicon),
    path("i18n/", include("django.conf.urls.i18n")),
    path("api/protocol/", views.protocol, name="protocol"),
    path("api/protocol/asyncapi.json", views.protocol_json, name="protocol-json"),
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", views.metrics, name="metrics"),
    path("ws/stats", presence_views.StatsView.as_view(), name="ws-stats"),
    path("ws/online-users", presence_views.OnlineUsersView.as_view(), name="ws-online-users"),
    path("api/v1/realtime/", include(("realtime.api.urls", "realtime"))),
    path("api/v1/auth/", include(("realtime.api.auth_urls", "auth"))),
]
