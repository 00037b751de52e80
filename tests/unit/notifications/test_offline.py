"""Keeping messages for users who are away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications import services
from notifications.models import StoredMessage
from notifications.offline import DatabaseOfflineStore
from realtime.registry import OfflineMessage, offline_store

pytestmark = pytest.mark.django_db
store = DatabaseOfflineStore()


def away(user_id: str, message_id: str, at: float = 1000.0, content: Any = "hi", kind: str = "chat") -> OfflineMessage:
    text = json.dumps({"type": kind, "id": message_id, "content": content, "timestamp": int(at), "data": {}})
    return OfflineMessage(user_id=user_id, message_id=message_id, type=kind, text=text, accepted_at=at)


def pending_ids(user_id: str) -> list[str]:
    return [message.message_id for message in store.pending([user_id]).get(user_id, [])]


def test_the_app_registers_its_store_with_the_gateway():
    assert isinstance(offline_store(), DatabaseOfflineStore)


def test_what_was_stored_comes_back_as_it_was():
    messages = [away("1", "a", 1000.25, {"x": "\0ü"}), away("2", "b", 1000.5)]
    store.store(messages)
    assert store.pending(["1", "2", "3"]) == {"1": [messages[0]], "2": [messages[1]]}


def test_messages_come_back_in_the_order_of_acceptance():
    store.store([away("1", "later", 2000.0)])
    store.store([away("1", "earlier", 1000.0), away("1", "next", 1000.5)])
    assert pending_ids("1") == ["earlier", "next", "later"]


def test_messages_accepted_in_the_same_instant_keep_the_order_of_the_batch():
    ids = [f"m{n}" for n in range(20)]
    store.store([away("1", name) for name in ids])
    assert pending_ids("1") == ids


def test_a_repeated_message_is_kept_once_per_user():
    store.store([away("1", "a"), away("1", "a", 2000.0), away("2", "a")])
    store.store([away("1", "a", 3000.0)])
    assert StoredMessage.objects.count() == 2
    assert store.pending(["1"])["1"][0].accepted_at == 1000.0


def test_a_delivered_message_is_not_pending_again_even_when_it_is_stored_again():
    store.store([away("1", "a"), away("1", "b"), away("2", "a")])
    store.mark_delivered([away("1", "a")])
    store.store([away("1", "a")])
    assert (pending_ids("1"), pending_ids("2")) == (["b"], ["a"])
    row = StoredMessage.objects.get(recipient="1", message_id="a")
    assert row.delivered_at is not None
    assert row.read_at is None


def test_a_row_of_notify_waits_only_once_the_gateway_found_its_user_away(client):
    services.notify("1", "a", "b", id="n")
    assert pending_ids("1") == []
    accepted = away("1", "n", 1000.0, {"title": "a", "body": "b"}, "notification")
    store.store([accepted])
    assert store.pending(["1"]) == {"1": [accepted]}
    store.mark_delivered([accepted])
    store.store([accepted])
    assert pending_ids("1") == []


def test_a_message_read_elsewhere_meanwhile_does_not_wait(client):
    services.notify("1", "a", "b", id="n")
    services.mark_read("1", ["n"])
    store.store([away("1", "n"), away("1", "m")])
    services.mark_read("1", ["m"])
    assert pending_ids("1") == []


@pytest.mark.parametrize("content", [None, [], "x", {"category": 5}, {"category": None}, {"category": "x" * 300}])
def test_any_content_can_be_kept(content):
    store.store([away("1", "a", content=content)])
    assert pending_ids("1") == ["a"]


def test_names_as_long_as_the_contract_allows_fit():
    store.store([away("ü" * 512, "ä" * 512)])
    assert pending_ids("ü" * 512) == ["ä" * 512]


def test_a_category_can_be_searched():
    store.store([away("1", "a", content={"category": "orders"})])
    assert StoredMessage.objects.get().category == "orders"


def test_nothing_to_do_costs_no_query():
    with CaptureQueriesContext(
        connection,
    ) as queries:
        store.store([])
        assert store.pending([]) == {}
    assert len(queries) == 0


def test_a_batch_costs_few_queries_whatever_its_size():
    with CaptureQueriesContext(connection) as queries:
        store.store([away(f"u{n}", f"m{n}") for n in range(400)])
    assert len(queries) <= 10


def test_thousands_of_users_are_read_and_marked_in_chunks():
    messages = [away(f"u{n}", "m") for n in range(2500)]
    store.store(messages)
    assert len(store.pending([f"u{n}" for n in range(2500)])) == 2500
    store.mark_delivered(messages)
    assert store.pending([f"u{n}" for n in range(2500)]) == {}


def test_a_large_backlog_comes_in_portions_in_order_and_ends():
    messages = [away("1", f"m{n}", 1000.0 + n, "x" * 10_000) for n in range(100)] + [away("2", "small")]
    store.store(messages)
    came: list[str] = []
    while portion := store.pending(["1", "2"]):
        assert sum(len(message.text) for message in portion.get("1", [])) < 2 * 262_144
        came += [message.message_id for message in portion.get("1", [])]
        store.mark_delivered([message for user in portion.values() for message in user])
    assert came == [f"m{n}" for n in range(100)]


def test_a_message_larger_than_a_portion_comes_alone():
    store.store([away("1", "big", 1.0, "x" * 500_000), away("1", "next", 2.0)])
    assert pending_ids("1") == ["big"]
