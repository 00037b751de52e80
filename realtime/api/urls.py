"""Routes below ``/api/v1/realtime/``."""

from django.urls import path

from realtime.api import views

urlpatterns = [
    path("nodes/", views.NodesView.as_view(), name="nodes"),
    path("connections/", views.ConnectionsView.as_view(), name="connections"),
    path("rooms/", views.RoomsView.as_view(), name="rooms"),
    path("members/", views.MembersView.as_view(), name="members"),
    path("disconnect/", views.DisconnectView.as_view(), name="disconnect"),
    path("publish/", views.PublishView.as_view(), name="publish"),
    path("bridges/", views.BridgesView.as_view(), name="bridges"),
    path("dead-letters/", views.DeadLettersView.as_view(), name="dead-letters"),
]
