"""Routes of ``/api/v1/notifications/``, for ``include("notifications.urls")``."""

from __future__ import annotations

from django.urls import path

from notifications.api import staff_views, views

app_name = "notifications"

urlpatterns = [
    path("", views.ListView.as_view(), name="list"),
    path("unread-count/", views.UnreadCountView.as_view(), name="unread-count"),
    path("read/", views.ReadManyView.as_view(), name="read-many"),
    path("read-all/", views.ReadAllView.as_view(), name="read-all"),
    path("delete/", views.DeleteManyView.as_view(), name="delete-many"),
    path("send/user/", staff_views.SendToUserView.as_view(), name="send-user"),
    path("send/room/", staff_views.SendToRoomView.as_view(), name="send-room"),
    path("send/all/", staff_views.SendToAllView.as_view(), name="send-all"),
    path("data-update/", staff_views.DataUpdateView.as_view(), name="data-update"),
    path("<str:message_id>/", views.ItemView.as_view(), name="item"),
    path("<str:message_id>/read/", views.ReadOneView.as_view(), name="read-one"),
]
