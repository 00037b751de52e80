"""User CRUD as JSON."""

import json

from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods


@csrf_exempt
@require_http_methods(["GET", "POST"])
@transaction.atomic
def users(request: HttpRequest) -> HttpResponse:
    """List users, or create one."""
    if request.method == "GET":
        return JsonResponse({"users": [_shown(user) for user in User.objects.order_by("pk")]})
    user = User.objects.create_user(json.loads(request.body)["username"])
    return JsonResponse(_shown(user), status=201)


@csrf_exempt
@require_http_methods(["GET", "PATCH", "DELETE"])
@transaction.atomic
def user_detail(request: HttpRequest, user_id: int) -> HttpResponse:
    """Show, change or delete one user."""
    user = get_object_or_404(User, pk=user_id)
    if request.method == "DELETE":
        user.delete()
        return HttpResponse(status=204)
    if request.method == "PATCH":
        user.username = json.loads(request.body)["username"]
        user.save()
    return JsonResponse(_shown(user))


def _shown(user: User) -> dict[str, object]:
    return {"id": user.pk, "username": user.username}


urlpatterns = [
    path("api/v1/admin/users/", users),
    path("api/v1/admin/users/<int:user_id>/", user_detail),
]
