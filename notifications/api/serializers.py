"""Bodies and query parameters of ``/api/v1/notifications/``; lengths and characters are checked by the client."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from notifications.api.fields import AnyJsonField, TimeField
from notifications.models import StoredMessage
from realtime.protocol import MAX_ID_LENGTH, MAX_TYPE_LENGTH

MAX_IDS = 500
MAX_NAME = 512


class StoredMessageSerializer(serializers.ModelSerializer[StoredMessage]):
    """One stored message of the caller."""

    id = serializers.CharField(source="message_id", help_text=_("Message id; data.notification_id of the frame."))
    content = AnyJsonField(source="payload.content", default=None, help_text=_("As in the frame."))
    data = serializers.DictField(  # type: ignore[assignment]  # DRF takes declared fields out of the class
        source="payload.data", default=None, help_text=_("As in the frame.")
    )
    from_name = serializers.CharField(source="payload.from_name", default=None, help_text=_("Name of the sender."))
    timestamp = serializers.IntegerField(source="payload.timestamp", default=None, help_text=_("Unix seconds."))
    read = serializers.SerializerMethodField()

    class Meta:
        model = StoredMessage
        fields = (
            "id",
            "type",
            "category",
            "from_name",
            "content",
            "data",
            "timestamp",
            "read",
            "created_at",
            "delivered_at",
            "read_at",
        )

    def get_fields(self) -> dict[str, Any]:
        """Add ``from``, which is a keyword of Python."""
        sender = serializers.CharField(source="payload.from", default=None, help_text=_("User id of the sender."))
        return {**super().get_fields(), "from": sender}

    def get_read(self, row: StoredMessage) -> bool:
        """Tell whether the message was marked as read."""
        return row.read_at is not None


class ListQuery(serializers.Serializer[Any]):
    """Filters of the list."""

    unread = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text=_("true: only unread; false: only read.")
    )
    type = serializers.CharField(required=False, max_length=MAX_TYPE_LENGTH, help_text=_("notification, chat, …"))
    category = serializers.CharField(required=False, max_length=100)
    since = TimeField(required=False, help_text=_("Created then or later; ISO 8601 or Unix seconds."))


class IdsSerializer(serializers.Serializer[Any]):
    """Messages by their ids."""

    ids = serializers.ListField(
        child=serializers.CharField(max_length=MAX_NAME, trim_whitespace=False),
        min_length=1,
        max_length=MAX_IDS,
        help_text=_("Message ids."),
    )


class UnreadSerializer(serializers.Serializer[Any]):
    """How many messages are unread."""

    unread = serializers.IntegerField(min_value=0)


class ChangedSerializer(UnreadSerializer):
    """What a change did."""

    changed = serializers.IntegerField(min_value=0, help_text=_("How many messages this changed."))


class SentSerializer(serializers.Serializer[Any]):
    """A message that was taken."""

    id = serializers.CharField(help_text=_("Message id."))


class _Message(serializers.Serializer[Any]):
    id = serializers.CharField(
        required=False, max_length=MAX_ID_LENGTH, help_text=_("Message id; a repetition is delivered once.")
    )
    durable = serializers.BooleanField(
        default=False, help_text=_("Survives a time without a bridge (durable ingress).")
    )


class BroadcastNotificationSerializer(_Message):
    """A notification."""

    title = serializers.CharField()
    body = serializers.CharField(allow_blank=True)
    icon = serializers.CharField(required=False, allow_null=True)
    link = serializers.CharField(required=False, allow_null=True)
    category = serializers.CharField(required=False, allow_null=True)
    data = AnyJsonField(  # type: ignore[assignment]  # DRF takes declared fields out of the class
        required=False, allow_null=True, help_text=_("Anything for the page.")
    )


class UserNotificationSerializer(BroadcastNotificationSerializer):
    """A notification to one user."""

    user_id = serializers.CharField(max_length=MAX_NAME, trim_whitespace=False)
    store = serializers.BooleanField(default=True, help_text=_("Keep it in the user's list."))


class RoomMessageSerializer(_Message):
    """A message to the members of a room."""

    room = serializers.CharField(max_length=MAX_NAME, trim_whitespace=False)
    content = AnyJsonField()
    type = serializers.CharField(default="room_message", max_length=MAX_TYPE_LENGTH)


class DataUpdateSerializer(serializers.Serializer[Any]):
    """Something changed."""

    entity = serializers.CharField(max_length=MAX_NAME)
    action = serializers.CharField(max_length=MAX_NAME)
    id = AnyJsonField(required=False, allow_null=True, help_text=_("Id of the entity."))
    data = AnyJsonField(required=False, allow_null=True)  # type: ignore[assignment]  # as above
    durable = serializers.BooleanField(default=False)
