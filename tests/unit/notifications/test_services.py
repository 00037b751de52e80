"""Storing, sending on commit, reading, counting, deleting."""

from __future__ import annotations

import logging

import pytest
from django.db import transaction

from notifications import outgoing, services
from notifications.errors import InvalidMessage
from notifications.models import OutboxMessage, StoredMessage

pytestmark = pytest.mark.django_db(transaction=True)


@transaction.atomic
def notify_and_fail(**how: bool) -> None:
    services.notify(1, "a", "b", **how)  # type: ignore[arg-type]  # only flags are passed
    raise ZeroDivisionError


def test_notify_stores_a_row_and_sends_the_message(client):
    row = services.notify(42, "Paid", "Order 7", category="orders", id="pay-7")
    assert (row.recipient, row.message_id, row.type, row.category) == ("42", "pay-7", "notification", "orders")
    assert (row.awaiting, row.read_at, row.delivered_at) == (False, None, None)
    assert row.payload["content"] == {"title": "Paid", "body": "Order 7", "category": "orders"}
    [(channel, message)] = client.told
    assert channel == "websocket:notification:42"
    assert message == row.payload


def test_nothing_is_sent_before_the_commit(client):
    with transaction.atomic():
        services.notify(1, "a", "b")
        assert client.sent == []
    assert len(client.sent) == 1


def test_nothing_is_stored_or_sent_by_a_transaction_that_fails(client):
    with pytest.raises(ZeroDivisionError):
        notify_and_fail()
    assert client.sent == []
    assert not StoredMessage.objects.exists()


def test_a_redis_that_is_down_fails_no_transaction_and_logs_no_body(client, caplog):
    client.down = True
    with caplog.at_level(logging.DEBUG):
        row = services.notify(1, "my secret", "b")
    assert services.unread_count(1) == 1
    assert row.message_id in caplog.text
    assert "secret" not in caplog.text


def test_a_repeated_id_is_stored_once_per_user(client):
    rows = [services.notify(user, "a", "b", id="same") for user in (1, 1, 2)]
    assert rows[0].pk == rows[1].pk != rows[2].pk
    assert StoredMessage.objects.count() == 2


def test_a_refused_notification_stores_nothing(client):
    with pytest.raises(InvalidMessage):
        services.notify("", "a", "b")
    assert not StoredMessage.objects.exists()


def test_a_category_of_any_length_is_stored(client):
    assert services.notify(1, "a", "b", category="x" * 300).category == "x" * 100


def test_the_outbox_takes_the_message_into_the_transaction(client):
    with pytest.raises(ZeroDivisionError):
        notify_and_fail(in_outbox=True)
    assert not OutboxMessage.objects.exists()
    row = services.notify(1, "a", "b", in_outbox=True)
    assert client.sent == []
    assert OutboxMessage.objects.get().message_id == row.message_id


def test_any_built_message_can_be_sent_on_commit(client):
    with transaction.atomic():
        services.publish_on_commit(outgoing.data_update("order", "paid", id=7))
        assert not client.sent
    assert client.told[0][1]["content"] == {"entity": "order", "action": "paid", "id": 7}


def told_devices(client) -> list[tuple[str, dict]]:
    return [(channel, message["content"]) for channel, message in client.told if message["type"] == "data_update"]


def test_marking_as_read_tells_the_users_other_devices(client):
    for name in "abc":
        services.notify(1, "a", "b", id=name)
    services.notify(2, "a", "b", id="a")
    assert services.mark_read(1, ["a", "b", "unknown"]) == 2
    assert services.mark_read(1, ["a"]) == 0
    assert (services.unread_count(1), services.unread_count(2)) == (1, 1)
    assert told_devices(client) == [
        (
            "websocket:user:1",
            {"entity": "notification", "action": "read", "data": {"unread": 1, "ids": ["b", "a"]}},
        )
    ]


def test_marking_all_as_read_touches_one_user_only(client):
    for user in (1, 1, 2):
        services.notify(user, "a", "b")
    assert services.mark_all_read(1) == 2
    assert services.mark_all_read(1) == 0
    assert (services.unread_count(1), services.unread_count(2)) == (0, 1)
    assert told_devices(client) == [
        ("websocket:user:1", {"entity": "notification", "action": "read_all", "data": {"unread": 0}})
    ]


def test_deleting_tells_the_users_other_devices_once(client):
    services.notify(1, "a", "b", id="a")
    services.notify(2, "a", "b", id="a")
    assert services.delete(1, ["a"]) == 1
    assert services.delete(1, ["a"]) == 0
    assert StoredMessage.objects.get().recipient == "2"
    assert [content["action"] for _, content in told_devices(client)] == ["delete"]


def test_very_many_ids_are_not_listed_to_the_other_devices(client):
    ids = [f"{n}-{'x' * 100}" for n in range(501)]
    for name in ids:
        services.notify(1, "a", "b", id=name)
    assert services.mark_read(1, ids) == 501
    assert told_devices(client)[-1][1]["data"] == {"unread": 0}


async def test_a_view_in_asyncio_notifies_too(client):
    row = await services.anotify(1, "a", "b")
    assert client.sent[0].id == row.message_id
