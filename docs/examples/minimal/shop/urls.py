"""Routes of the example."""

from django.contrib import admin
from django.http import HttpRequest, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from notifications import broadcast_data_update, send_notification


@csrf_exempt
def pay(_request: HttpRequest, order: int, user: str) -> JsonResponse:
    """Pretend that an order was paid, and tell its owner and everybody's order list."""
    send_notification(user, "Paid", f"Order {order} was paid")
    broadcast_data_update("order", "paid", id=order)
    return JsonResponse({"order": order, "paid": True})


urlpatterns = [
    path("orders/<int:order>/pay/<str:user>/", pay),
    path("admin/", admin.site.urls),
    path("api/v1/notifications/", include("notifications.urls")),  # realtime
    path("", include("realtime.urls")),  # realtime
]
