"""Routes below ``/api/v1/auth/``."""

from django.urls import path

from realtime.api.auth_views import LogoutView, RefreshView, TokenView

urlpatterns = [
    path("token/", TokenView.as_view(), name="token"),
    path("refresh/", RefreshView.as_view(), name="refresh"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
