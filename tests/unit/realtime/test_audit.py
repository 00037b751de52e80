"""The audit's bounds: rate, length, age and number."""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from realtime.audit import store
from realtime.audit.events import Entry, Event, Recorder, record, recorder
from realtime.conf import get_settings
from realtime.models import AuditEvent


def entry(event: Event = Event.TOKEN_REFUSED, at: float = 1000.0) -> Entry:
    return Entry(event=event, at=at)


def storing() -> Recorder:
    made = Recorder()
    made.waiting = deque()
    return made


def test_strangers_cannot_cause_more_than_the_bound() -> None:
    kept = storing()
    for _ in range(1000):
        kept.add(entry())
    assert kept.waiting is not None
    assert len(kept.waiting) == 200
    [missed] = kept.left_out()
    assert (missed.event, missed.target, missed.detail) == (Event.LEFT_OUT, "token_refused", "800")
    assert kept.left_out() == []


def test_the_bounds_of_the_kinds_are_their_own_and_come_back_with_time() -> None:
    kept = storing()
    for _ in range(300):
        kept.add(entry())
    kept.add(entry(Event.EVICTED))
    kept.add(entry(at=1010.0))
    assert kept.waiting is not None
    assert [one.event for one in kept.waiting][200:] == [Event.EVICTED, Event.LEFT_OUT, Event.TOKEN_REFUSED]


def test_what_staff_does_is_kept_always() -> None:
    kept = storing()
    for _ in range(1000):
        kept.add(entry(Event.STAFF_SENT))
    assert kept.waiting is not None
    assert len(kept.waiting) == 1000


def test_while_the_database_is_away_memory_is_bounded() -> None:
    kept = storing()
    for _ in range(5000):
        kept.add(entry(Event.STAFF_SENT))
    assert kept.waiting is not None
    assert len(kept.waiting) == 2000


def test_texts_are_cut_and_cannot_forge_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Entry] = []
    monkeypatch.setattr(recorder, "add", found.append)
    record(Event.LOGIN_FAILED, target="root\nevent=login \x00" + "x" * 500)
    assert found[0].target.startswith("root�event=login �x")
    assert len(found[0].target) == 200


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> deque[Entry]:
    waiting: deque[Entry] = deque()
    monkeypatch.setattr(recorder, "waiting", waiting)
    monkeypatch.setattr(recorder, "_left_out", {})
    return waiting


@pytest.mark.django_db
def test_what_waits_is_written_in_batches(rows: deque[Entry]) -> None:
    rows.extend(entry(Event.STAFF_SENT) for _ in range(700))
    assert [store.flush(), store.flush(), store.flush()] == [500, 200, 0]
    assert AuditEvent.objects.count() == 700


@pytest.mark.django_db
def test_what_could_not_be_written_waits(rows: deque[Entry], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("away")

    rows.append(entry())
    monkeypatch.setattr(AuditEvent.objects, "bulk_create", fail)
    with pytest.raises(RuntimeError):
        store.flush()
    assert len(rows) == 1


@pytest.mark.django_db
def test_old_events_and_too_many_go(settings: Any) -> None:
    settings.REALTIME = {"audit_days": 10, "audit_limit": 5}
    get_settings.cache_clear()
    now = datetime.fromtimestamp(time.time(), tz=UTC)
    ages = [20, 11, 9, 8, 7, 6, 5, 4, 3]
    AuditEvent.objects.bulk_create([AuditEvent(event="login", at=now - timedelta(days=age)) for age in ages])
    assert store.prune() == 4
    assert AuditEvent.objects.count() == 5
    assert AuditEvent.objects.order_by("at").first().at == now - timedelta(days=7)  # type: ignore[union-attr]  # there are five
