"""States of a job: who may take it, and when."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from ginforge.worker import jobs
from ginforge.worker.models import Job

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)


def claim(key: str, holder: str = "a") -> Job | None:
    return jobs.claim(key, task="t", arguments="{}", holder=holder)


def state(key: str) -> str:
    return Job.objects.get(key=key).state


def test_a_key_that_is_there_makes_no_second_job_and_changes_nothing():
    first = jobs.schedule("t", {"a": 1}, key="k")
    assert jobs.schedule("t", {"a": 2}, key="k", run_at=timezone.now() + HOUR).pk == first.pk
    assert Job.objects.get().values == {"a": 1}


def test_a_message_without_a_row_gets_one_and_a_second_delivery_nothing():
    assert claim("k") is not None
    assert claim("k", "b") is None
    assert Job.objects.get().attempts == 1


def test_a_job_that_is_not_due_is_not_taken():
    jobs.schedule("t", {}, key="k", run_at=timezone.now() + HOUR)
    assert claim("k") is None
    assert state("k") == "waiting"


def test_a_job_of_a_dead_worker_is_taken_over_and_the_dead_one_can_say_nothing_more():
    old = claim("k")
    assert old is not None
    Job.objects.update(claimed_until=timezone.now() - HOUR)
    new = claim("k", "b")
    assert new is not None
    assert not jobs.finish(old)
    assert not jobs.renew(old)
    assert jobs.finish(new)
    assert (state("k"), new.attempts) == ("done", 2)


def test_a_job_that_is_over_is_not_taken_until_it_is_run_again():
    job = claim("k")
    assert job is not None
    jobs.bury(job, "because")
    assert claim("k") is None
    assert jobs.run_again(Job.objects.all()) == 1
    again = claim("k")
    assert again is not None
    assert again.attempts == 1


def test_only_a_job_that_has_not_started_can_be_cancelled():
    jobs.schedule("t", {}, key="waits")
    claim("runs")
    assert jobs.cancel("waits")
    assert not jobs.cancel("runs")
    assert not jobs.cancel("none")
    assert claim("waits") is None


def test_due_are_waiting_jobs_and_those_whose_message_or_worker_was_lost():
    now = timezone.now()
    rows = {
        "due": {"state": "waiting", "run_at": now},
        "lost-retry": {"state": "retrying", "run_at": now - HOUR},
        "lost-message": {"state": "queued", "queued_at": now - HOUR},
        "lost-worker": {"state": "running", "claimed_until": now - HOUR},
        "later": {"state": "waiting", "run_at": now + HOUR},
        "retry-soon": {"state": "retrying", "run_at": now},
        "in-the-queue": {"state": "queued", "queued_at": now},
        "runs": {"state": "running", "claimed_until": now + HOUR},
        "over": {"state": "done", "run_at": now - HOUR},
        "dead": {"state": "dead", "run_at": now - HOUR},
    }
    for key, fields in rows.items():
        Job.objects.create(key=key, task="t", **fields)
    assert set(jobs.due(now).values_list("key", flat=True)) == {"due", "lost-retry", "lost-message", "lost-worker"}


def test_any_poison_can_be_written_down():
    jobs.park(
        "k" * 500 + "\0", task="x" * 300, arguments=jobs.encode({"a": "\ud800\0", "n": float("nan")}), reason="\0"
    )
    row = Job.objects.get()
    assert (len(row.key), len(row.task), row.state) == (200, 100, "dead")


def test_parking_does_not_touch_a_job_that_is_done():
    job = claim("k")
    assert job is not None
    jobs.finish(job)
    jobs.park("k", task="t", arguments="{}", reason="late poison")
    assert state("k") == "done"
