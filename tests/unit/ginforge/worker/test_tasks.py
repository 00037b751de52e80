"""The bodies of the tasks, with hooks of a business."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest
from django.test import override_settings

from ginforge.worker import hooks, payments, tasks, uploads
from ginforge.worker.arguments import (
    InventoryAlert,
    JobSchedule,
    OrderReminder,
    PaymentRetry,
    UploadImport,
    UserNotification,
)
from ginforge.worker.conf import get_settings
from ginforge.worker.errors import Refused, TryLater
from ginforge.worker.models import Job
from ginforge.worker.runner import Running

pytestmark = pytest.mark.django_db(transaction=True)
RUNNING = Running("k", 1)


def nothing(*_: Any) -> None:
    """Say that there is nothing to remind of, and no opinion."""


def recovered(_sku: str) -> int:
    return 100


def never(*_: Any) -> bool:
    return False


def opened(_upload_id: str) -> tuple[io.BytesIO, int]:
    return io.BytesIO(b"x" * 10), 10


def hooked(**values: Any) -> Any:
    get_settings.cache_clear()
    return override_settings(WORKER={name: f"{__name__}.{value}" for name, value in values.items()})


def test_an_order_that_wants_no_reminder_any_more_gets_none(sent):
    with hooked(order_reminder="nothing"):
        tasks.remind_of_order(OrderReminder(order_id=1, user_id="u"), RUNNING)
    assert sent.messages == []


def test_a_muted_category_is_not_sent(sent):
    with hooked(may_notify="never"):
        tasks.notify_user(UserNotification(user_id="u", title="t", body="b"), RUNNING)
    assert sent.messages == []


def test_a_stock_that_has_recovered_alerts_nobody(monkeypatch):
    monkeypatch.setattr(tasks, "send_to_room", lambda *_a, **_k: pytest.fail("an alert was sent"))
    with hooked(inventory_level="recovered"):
        tasks.alert_of_inventory(InventoryAlert(sku="s", level=1, threshold=5), RUNNING)


@pytest.mark.parametrize("run_at", ["2030-01-01T00:00:00+02:00", 1893456000])
def test_a_job_can_be_scheduled_by_iso_time_or_unix_seconds(run_at):
    import msgspec

    wanted = {"task": "user.notification", "key": "later", "run_at": run_at}
    tasks.schedule_job(msgspec.convert(wanted, JobSchedule), RUNNING)
    assert Job.objects.get(key="later").run_at.year in (2029, 2030)


def test_an_unknown_task_cannot_be_scheduled():
    with pytest.raises(Refused):
        tasks.schedule_job(JobSchedule(task="no.such", key="x", run_at=1.0), RUNNING)


def answered(monkeypatch: pytest.MonkeyPatch, status: int, **headers: str) -> None:
    monkeypatch.setattr(httpx, "post", lambda *_a, **_k: httpx.Response(status, headers=headers))


@pytest.mark.parametrize("status", [500, 502, 503, 408, 409, 425, 429])
@override_settings(WORKER={"payment_url": "http://pay"})
def test_a_payment_without_a_final_answer_is_tried_later(monkeypatch, status):
    answered(monkeypatch, status, **{"Retry-After": "120"})
    with pytest.raises(TryLater) as caught:
        payments.retry(PaymentRetry(payment_id="p"), RUNNING)
    assert caught.value.after == 120.0


@pytest.mark.parametrize("status", [301, 400, 401, 402, 404, 422])
@override_settings(WORKER={"payment_url": "http://pay"})
def test_a_payment_that_is_refused_is_not_tried_again(monkeypatch, status):
    answered(monkeypatch, status)
    with pytest.raises(Refused):
        payments.retry(PaymentRetry(payment_id="p"), RUNNING)


@override_settings(WORKER={"payment_url": "http://127.0.0.1:1/"})
def test_a_payment_service_that_does_not_answer_is_asked_later():
    with pytest.raises(TryLater):
        payments.retry(PaymentRetry(payment_id="p"), RUNNING)


def test_without_an_address_a_payment_is_refused():
    with pytest.raises(Refused, match="payment_url"):
        payments.retry(PaymentRetry(payment_id="p"), RUNNING)


def test_progress_is_throttled_and_ends_with_a_notification(sent):
    with hooked(open_upload="opened"):
        uploads.import_upload(UploadImport(upload_id="f", user_id="u", chunk=1), RUNNING)
    contents = [json.loads(message.payload)["content"] for message in sent.messages]
    assert [content.get("action") for content in contents] == ["progress", "done", None]
    assert contents[1]["data"]["percent"] == 100
    assert contents[2]["data"]["size"] == 10


@pytest.mark.parametrize("name", ["../secret", "a/b", ".hidden", "", "none"])
@override_settings(WORKER={"upload_dir": "/nonexistent"})
def test_an_upload_is_opened_by_its_plain_name_only(name):
    with pytest.raises(Refused):
        hooks.open_upload(name)
