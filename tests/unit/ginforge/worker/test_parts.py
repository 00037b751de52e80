"""The worker's small parts: settings, broker address, pauses, dispatch, slots, metrics, cleanup, admin."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from celery.schedules import crontab, schedule
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone

from ginforge.worker import cleanup, jobs, metrics
from ginforge.worker.arguments import Cleanup
from ginforge.worker.backoff import Backoff
from ginforge.worker.broker import broker_address
from ginforge.worker.checks import check_settings
from ginforge.worker.conf import build_settings
from ginforge.worker.dispatch import dispatch_due
from ginforge.worker.errors import TryLater
from ginforge.worker.models import Job
from ginforge.worker.runner import Running
from ginforge.worker.scheduler import slot


@pytest.mark.parametrize(
    "values", [{"no_such": 1}, {"lease": "5"}, {"lease": 0}, {"soft_time_limit": 300}, {"cleanup_hour": 24}]
)
def test_a_wrong_setting_is_an_error_of_the_check(values):
    with override_settings(WORKER=values):
        assert [error.id for error in check_settings(None)] == ["worker.E001"]


def test_a_hook_that_is_not_there_is_an_error_of_the_check():
    with override_settings(WORKER={"order_reminder": "no.such.hook", "cleanup_steps": ["also.not"]}):
        assert [error.id for error in check_settings(None)] == ["worker.E002"] * 2


def test_whole_numbers_are_taken_for_seconds():
    assert build_settings({"lease": 5, "cleanup_steps": ["a.b"]}).lease == 5.0


@pytest.mark.parametrize(
    ("url", "broker"),
    [
        ("redis://u:p@h:1/2", "redis://u:p@h:1/2"),
        ("unix:///run/r.sock", "redis+socket:///run/r.sock?virtual_host=0"),
        ("unix:///run/r.sock?db=3", "redis+socket:///run/r.sock?virtual_host=3"),
    ],
)
def test_the_broker_is_the_same_redis(url, broker):
    assert broker_address(url) == broker


def test_pauses_double_up_to_the_cap_with_jitter():
    backoff = Backoff(1.0, 10.0, 3)
    for attempt, full in ((1, 1.0), (2, 2.0), (4, 8.0), (5, 10.0), (5000, 10.0)):
        pauses = {backoff.pause(attempt) for _ in range(20)}
        assert len(pauses) > 1
        assert all(full / 2 <= pause <= full for pause in pauses)
    assert [backoff.is_over(attempt) for attempt in (1, 2, 3)] == [False, False, True]


def test_two_beats_number_a_time_alike():
    every = schedule(dt.timedelta(seconds=30))
    assert slot(every, 60.1) == slot(every, 89.9) != slot(every, 90.0)
    daily = crontab(hour=3, minute=17)
    assert slot(daily, 61.0) == slot(daily, 119.0)


class Queue:
    """Stands for the Celery application."""

    def __init__(self, fails_after: int = 1000) -> None:
        self.sent: list[str] = []
        self.left = fails_after

    def send_task(self, task: str, *, kwargs: dict[str, Any], task_id: str) -> None:
        if self.left == 0:
            raise ConnectionError("redis is away")
        self.left -= 1
        self.sent.append(task_id)


@pytest.mark.django_db
def test_due_jobs_are_sent_once_and_what_the_broker_refused_stays_due():
    for key in ("a", "b", "c"):
        jobs.schedule("t", {}, key=key)
    with pytest.raises(ConnectionError):
        dispatch_due(Queue(fails_after=1))
    queue = Queue()
    assert dispatch_due(queue) == 2
    assert queue.sent == ["b", "c"]
    assert dispatch_due(queue) == 0


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_row_with_rubbish_for_arguments_is_parked(text):
    Job.objects.create(key="k", task="t", arguments=text)
    queue = Queue()
    dispatch_due(queue)
    assert queue.sent == []
    assert Job.objects.get().state == "dead"


def test_buckets_of_a_histogram_add_up():
    counts = {"t|0.05|le": 2.0, "t|1.0|le": 3.0, "t|+Inf|le": 1.0}
    assert metrics._buckets("t", counts) == [
        ("0.05", 2.0), ("0.25", 2.0), ("1.0", 5.0), ("5.0", 5.0), ("30.0", 5.0), ("120.0", 5.0), ("300.0", 5.0),
        ("+Inf", 6.0),
    ]  # fmt: skip


def broken() -> int:
    raise RuntimeError("no")


def test_a_step_that_fails_does_not_keep_the_others_from_running(monkeypatch):
    ran: list[str] = []

    def fine() -> int:
        ran.append("fine")
        return 1

    monkeypatch.setattr(cleanup, "_steps", lambda: iter([broken, fine]))
    with pytest.raises(TryLater, match="broken"):
        cleanup.clean(Cleanup(), Running("k", 1))
    assert ran == ["fine"]


@pytest.mark.django_db
def test_jobs_that_are_over_are_deleted_after_their_time_and_dead_ones_later():
    now = timezone.now()
    for key, state, days in (
        ("a", "done", 31),
        ("b", "done", 1),
        ("c", "dead", 31),
        ("d", "dead", 91),
        ("e", "waiting", 500),
    ):
        Job.objects.create(key=key, task="t", state=state, finished_at=now - dt.timedelta(days=days))
    assert cleanup.finished_jobs() == 2
    assert set(Job.objects.values_list("key", flat=True)) == {"b", "c", "e"}


@pytest.mark.django_db
def test_staff_sets_the_arguments_of_a_dead_job_right_and_runs_it_again(admin_client):
    job = Job.objects.create(key="k", task="t", state="dead", last_error="wrong arguments", arguments="{}")
    change = reverse("admin:worker_job_change", args=[job.pk])
    assert "wrong arguments" in admin_client.get(reverse("admin:worker_job_changelist")).content.decode()
    assert admin_client.post(change, {"arguments": "[]"}).status_code == 200
    assert admin_client.post(change, {"arguments": '{"a": 1}'}).status_code == 302
    admin_client.post(reverse("admin:worker_job_changelist"), {"action": "run_again", "_selected_action": [job.pk]})
    job.refresh_from_db()
    assert (job.state, job.values, job.attempts) == ("waiting", {"a": 1}, 0)


@pytest.mark.django_db
def test_staff_without_the_permission_is_not_offered_to_run_a_job_again(client, django_user_model):
    from django.contrib.auth.models import Permission

    user = django_user_model.objects.create_user("viewer", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="view_job"))
    client.force_login(user)
    job = Job.objects.create(key="k", task="t", state="dead")
    client.post(reverse("admin:worker_job_changelist"), {"action": "run_again", "_selected_action": [job.pk]})
    job.refresh_from_db()
    assert job.state == "dead"
