"""Bodies and query parameters of ``/api/v1/realtime/`` and ``/ws/…``."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from realtime import dead_letters, publishing
from realtime.auth.tokens import MAX_JTI_LENGTH, MAX_NAME_LENGTH
from realtime.codes import CloseCode

_MAX_REASON = 123
"""Bytes of a close reason, RFC 6455 section 5.5."""


class StatsSerializer(serializers.Serializer[Any]):
    """The cluster in four numbers."""

    total_clients = serializers.IntegerField(min_value=0)
    online_users = serializers.IntegerField(min_value=0)
    total_rooms = serializers.IntegerField(min_value=0)
    uptime = serializers.IntegerField(min_value=0, help_text=_("Whole seconds."))


class OnlineUsersSerializer(serializers.Serializer[Any]):
    """Who is online."""

    total = serializers.IntegerField(min_value=0)
    users = serializers.ListField(child=serializers.CharField())


class NodeSerializer(serializers.Serializer[Any]):
    """One gateway process."""

    node = serializers.CharField()
    version = serializers.CharField(default="")
    host = serializers.CharField(default="")
    pid = serializers.IntegerField(default=0)
    started = serializers.FloatField(default=0.0, help_text=_("Unix seconds."))
    at = serializers.FloatField(default=0.0, help_text=_("When the process last reported, in Unix seconds."))
    clients = serializers.IntegerField(default=0)
    users = serializers.IntegerField(default=0)
    rooms = serializers.IntegerField(default=0)
    memory = serializers.IntegerField(default=0, help_text=_("Resident bytes."))
    draining = serializers.BooleanField(default=False)


class ConnectionSerializer(serializers.Serializer[Any]):
    """One live WebSocket."""

    client_id = serializers.CharField()
    user_id = serializers.CharField()
    username = serializers.CharField(default="")
    is_staff = serializers.BooleanField(default=False)
    address = serializers.CharField(default="")
    node = serializers.CharField(default="")
    connected_at = serializers.FloatField(default=0.0, help_text=_("Unix seconds."))
    expires_at = serializers.FloatField(default=0.0, help_text=_("When its token expires, in Unix seconds."))
    rooms = serializers.ListField(child=serializers.CharField(), default=list)
    buffered = serializers.IntegerField(default=0, help_text=_("Bytes waiting for a slow client."))


class RoomSerializer(serializers.Serializer[Any]):
    """One room with members."""

    room = serializers.CharField()
    nodes = serializers.IntegerField(help_text=_("Gateway processes with a member."))


class BridgeSerializer(serializers.Serializer[Any]):
    """One bridge process."""

    id = serializers.CharField()
    role = serializers.CharField(default="")
    host = serializers.CharField(default="")
    pid = serializers.IntegerField(default=0)
    started = serializers.FloatField(default=0.0, help_text=_("Unix seconds."))
    at = serializers.FloatField(default=0.0, help_text=_("When it last reported, in Unix seconds."))
    lag = serializers.FloatField(default=0.0, help_text=_("Age of the message it handles, in seconds."))
    waiting = serializers.IntegerField(default=0, help_text=_("Messages taken in and not yet delivered."))
    dropped = serializers.IntegerField(default=0)
    dead_letters = serializers.IntegerField(default=0)
    counters = serializers.DictField(
        child=serializers.IntegerField(), default=dict, help_text=_("Messages since its start, by what became of them.")
    )


class DeadLetterSerializer(serializers.Serializer[dead_letters.DeadLetter]):
    """One ingress message the bridge refused."""

    id = serializers.CharField()
    channel = serializers.CharField()
    reason = serializers.CharField()
    source = serializers.ChoiceField(["pubsub", "stream"])  # type: ignore[assignment]  # taken out by the metaclass
    size = serializers.IntegerField(help_text=_("Bytes of the whole payload."))
    at = serializers.FloatField(help_text=_("Unix seconds."))
    payload = serializers.SerializerMethodField(help_text=_("The payload as text, cut at the bridge's limit."))

    @extend_schema_field(str)
    def get_payload(self, letter: dead_letters.DeadLetter) -> str:
        """Return the payload as text."""
        return letter.text


class DeadLetterPageSerializer(serializers.Serializer[Any]):
    """A page of dead letters, newest first."""

    total = serializers.IntegerField()
    results = DeadLetterSerializer(many=True)
    next = serializers.CharField(allow_null=True, help_text=_("Give it as “before” to get older ones."))


# Query parameters


class _Limit(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=1000, default=100)


class ConnectionQuery(_Limit):
    """Which connections to list."""

    user_id = serializers.CharField(required=False, max_length=MAX_NAME_LENGTH, trim_whitespace=False)
    address = serializers.CharField(required=False, max_length=64)
    room = serializers.CharField(required=False, max_length=MAX_NAME_LENGTH, trim_whitespace=False)


class MembersQuery(_Limit):
    """Whose members to list."""

    room = serializers.CharField(max_length=MAX_NAME_LENGTH, trim_whitespace=False)


class DeadLetterQuery(serializers.Serializer[Any]):
    """Which dead letters to list."""

    limit = serializers.IntegerField(min_value=1, max_value=dead_letters.MAX_PAGE, default=50)
    before = serializers.CharField(required=False, max_length=41, help_text=_("Id of a dead letter."))

    def validate_before(self, value: str) -> str:
        """Refuse what is no id."""
        if not dead_letters.is_letter_id(value):
            raise serializers.ValidationError(_("This is not the id of a dead letter."))
        return value


class PublishSerializer(serializers.Serializer[Any]):
    """A message for the bridges, as a service would publish it in Redis."""

    channel = serializers.CharField(
        max_length=MAX_NAME_LENGTH + 32,
        trim_whitespace=False,
        help_text=_("websocket:broadcast, websocket:user:<id>, websocket:room:<room> or websocket:notification:<id>"),
    )
    message = serializers.JSONField(help_text=_("As in the protocol; the bridge checks it."))
    durable = serializers.BooleanField(default=False, help_text=_("Survives a time without a bridge (XADD)."))

    def validate_channel(self, value: str) -> str:
        """Refuse channels no bridge listens to."""
        if not publishing.is_ingress_channel(value):
            raise serializers.ValidationError(_("This is not an ingress channel."))
        return value


class DisconnectSerializer(serializers.Serializer[Any]):
    """Whom to disconnect, by exactly one of three; and whether to keep their tokens out."""

    user_id = serializers.CharField(required=False, max_length=MAX_NAME_LENGTH, trim_whitespace=False)
    client_id = serializers.CharField(required=False, max_length=64)
    jti = serializers.CharField(required=False, max_length=MAX_JTI_LENGTH, help_text=_("Id of an access token."))
    code = serializers.ChoiceField(
        [int(CloseCode.UNAUTHORIZED), int(CloseCode.FORBIDDEN)],
        default=int(CloseCode.FORBIDDEN),
        help_text=_("The WebSocket close code."),
    )
    reason = serializers.CharField(required=False, max_length=_MAX_REASON, default="", allow_blank=True)
    revoke = serializers.BooleanField(
        default=False, help_text=_("Also refuse the tokens issued until now; the user must log in again.")
    )

    def validate_reason(self, value: str) -> str:
        """Refuse a reason that does not fit a close frame."""
        if len(value.encode()) > _MAX_REASON:
            raise serializers.ValidationError(_("At most %d bytes of UTF-8 are allowed.") % _MAX_REASON)
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Insist on exactly one target."""
        targets = [name for name in ("user_id", "client_id", "jti") if name in attrs]
        if len(targets) != 1:
            raise serializers.ValidationError(_("Give exactly one of user_id, client_id and jti."))
        if attrs["revoke"] and targets == ["client_id"]:
            raise serializers.ValidationError(_("A connection has no tokens of its own: revoke by user_id or jti."))
        return attrs
