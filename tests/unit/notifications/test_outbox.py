"""Relaying the outbox; processes in parallel are an integration test's matter."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from notifications import outbox
from notifications.errors import RedisRefused, RedisUnavailable
from notifications.models import OutboxMessage
from notifications.outbox import Relay, enqueue
from notifications.outgoing import message, notification

pytestmark = pytest.mark.django_db


def test_messages_leave_in_their_order_and_durably(client):
    for n in range(5):
        enqueue(notification(n % 2, "a", "b", id=f"m{n}"))
    assert Relay(client).run_once() == 5
    assert [(sent.id, sent.durable) for sent in client.sent] == [(f"m{n}", True) for n in range(5)]
    assert not OutboxMessage.objects.exists()
    assert Relay(client).run_once() == 0


def test_a_message_may_go_by_plain_pubsub(client):
    enqueue(message(1, "hi"), durable=False)
    Relay(client).run_once()
    assert not client.sent[0].durable


def test_a_batch_is_bounded(client):
    for n in range(5):
        enqueue(notification(1, "a", "b", id=f"m{n}"))
    relay = Relay(client, batch_size=2)
    assert [relay.run_once() for _ in range(4)] == [2, 2, 1, 0]


def test_what_redis_did_not_take_stays_with_the_reason_and_goes_later(client):
    enqueue(notification(1, "a", "b"))
    client.down = True
    relay = Relay(client)
    for _ in range(2):
        with pytest.raises(RedisUnavailable):
            relay.run_once()
    row = OutboxMessage.objects.get()
    assert (row.attempts, row.claimed_until) == (2, None)
    assert "did not answer" in row.last_error
    client.down = False
    assert relay.run_once() == 1


def test_of_a_batch_only_what_was_refused_stays(client, monkeypatch):
    def refuse(_messages):
        raise RedisRefused("OOM", ["m1"])

    for n in range(3):
        enqueue(notification(n, "a", "b", id=f"m{n}"))
    monkeypatch.setattr(client, "send_many", refuse)
    with pytest.raises(RedisRefused):
        Relay(client).run_once()
    assert OutboxMessage.objects.get().message_id == "m1"


def claim_of_another_relay(row: OutboxMessage, *, runs_out_in: float) -> None:
    row.claimed_by, row.claimed_until = "other", timezone.now() + dt.timedelta(seconds=runs_out_in)
    row.save()


def test_nothing_overtakes_a_message_of_its_channel_that_another_relay_holds(client):
    rows = [enqueue(notification(n % 2, "a", "b", id=f"m{n}")) for n in range(6)]
    claim_of_another_relay(rows[2], runs_out_in=30)
    relay = Relay(client)
    assert relay.run_once() == 4
    assert [sent.id for sent in client.sent] == ["m0", "m1", "m3", "m5"]
    assert relay.run_once() == 0


def test_what_a_dead_relay_left_is_sent_when_its_claim_runs_out(client):
    rows = [enqueue(notification(1, "a", "b", id=f"m{n}")) for n in range(2)]
    claim_of_another_relay(rows[0], runs_out_in=-1)
    Relay(client).run_once()
    assert [sent.id for sent in client.sent] == ["m0", "m1"]


def test_a_claim_outlasts_the_longest_call_by_far():
    from notifications.client import NotificationClient

    assert outbox.CLAIM.total_seconds() >= 3 * NotificationClient("redis://h").settings.timeout
