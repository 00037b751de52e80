"""HTTP routes of the project; the apps bring their own."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

admin.site.site_header = admin.site.site_title = "GinForge"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path(
        "api/docs/",
        SpectacularSwaggerSplitView.as_view(url_name="schema", template_name="realtime/api_docs.html"),
        name="docs",
    ),
    path("api/v1/notifications/", include("notifications.urls")),
    path("", include("realtime.urls")),
]
