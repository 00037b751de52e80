"""Bodies of the token endpoints."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from realtime.auth.tokens import MAX_TOKEN_LENGTH


class LoginSerializer(serializers.Serializer[Any]):
    """A username and a password."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(
        max_length=256, write_only=True, trim_whitespace=False, style={"input_type": "password"}
    )


class RefreshSerializer(serializers.Serializer[Any]):
    """A refresh token."""

    refresh = serializers.CharField(max_length=MAX_TOKEN_LENGTH, help_text=_("The refresh token."))


class TokenPairSerializer(serializers.Serializer[Any]):
    """An access token and the refresh token to get the next one with."""

    access = serializers.CharField(help_text=_("Send it as “Authorization: Bearer …”, and to open the WebSocket."))
    refresh = serializers.CharField(help_text=_("Good for one use at the refresh endpoint."))
    expires_in = serializers.IntegerField(help_text=_("Seconds the access token lives."))


class DetailSerializer(serializers.Serializer[Any]):
    """Why a request was refused."""

    detail = serializers.CharField()
