"""The admin pages of stored messages and the outbox."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from notifications import outbox, services
from notifications.models import StoredMessage
from notifications.offline import DatabaseOfflineStore
from notifications.outgoing import notification
from realtime.registry import OfflineMessage

pytestmark = pytest.mark.django_db
LIST = reverse("admin:notifications_storedmessage_changelist")


@pytest.fixture(autouse=True)
def messages(client):
    """One message of each delivery state; the live one is read."""
    store = DatabaseOfflineStore()
    text = json.dumps({"type": "chat", "content": "needle"})
    away = [
        OfflineMessage(user_id="7", message_id=name, type="chat", text=text, accepted_at=1.0)
        for name in ("waiting-one", "delivered-one")
    ]
    store.store(away)
    store.mark_delivered(away[1:])
    services.notify(1, "a", "b", id="live-one")
    services.mark_read(1, ["live-one"])


def shown(admin_client, **query: str) -> set[str]:
    page = admin_client.get(LIST, query).content.decode()
    return {name for name in ("live-one", "waiting-one", "delivered-one") if name in page}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({}, {"live-one", "waiting-one", "delivered-one"}),
        ({"state": "waiting"}, {"waiting-one"}),
        ({"state": "delivered"}, {"delivered-one"}),
        ({"state": "sent"}, {"live-one"}),
        ({"read": "yes"}, {"live-one"}),
        ({"read": "no"}, {"waiting-one", "delivered-one"}),
        ({"type__exact": "notification"}, {"live-one"}),
        ({"q": "7"}, {"waiting-one", "delivered-one"}),
        ({"q": "needle"}, {"waiting-one", "delivered-one"}),
        ({"q": "live-one"}, {"live-one"}),
    ],
)
def test_messages_are_found_by_state_type_user_id_and_words(admin_client, query, names):
    if "q" in query:
        assert names <= shown(admin_client, **query)
    else:
        assert shown(admin_client, **query) == names


def test_a_message_is_shown_but_not_changed(admin_client):
    row = StoredMessage.objects.get(message_id="waiting-one")
    page = admin_client.get(reverse("admin:notifications_storedmessage_change", args=[row.pk])).content.decode()
    assert "needle" in page
    assert 'name="text"' not in page
    assert admin_client.get(reverse("admin:notifications_storedmessage_add")).status_code == 403


def test_messages_can_be_marked_as_read(admin_client):
    rows = StoredMessage.objects.values_list("pk", flat=True)
    admin_client.post(LIST, {"action": "mark_as_read", "_selected_action": list(rows)})
    assert not StoredMessage.objects.filter(read_at__isnull=True).exists()
    assert not StoredMessage.objects.filter(awaiting=True).exists()


def test_the_outbox_is_listed(admin_client):
    outbox.enqueue(notification("nobody", "a", "b", id="in-outbox"))
    page = admin_client.get(reverse("admin:notifications_outboxmessage_changelist")).content.decode()
    assert "in-outbox" in page
    assert admin_client.get(reverse("admin:notifications_outboxmessage_add")).status_code == 403
