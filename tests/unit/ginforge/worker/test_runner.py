"""What becomes of one delivery."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from ginforge.worker import jobs, runner
from ginforge.worker.arguments import UserNotification
from ginforge.worker.backoff import Backoff
from ginforge.worker.errors import Refused, TryLater
from ginforge.worker.models import Job
from ginforge.worker.runner import Running, Spec, execute
from tests.unit.ginforge.worker.conftest import FakeTask

pytestmark = pytest.mark.django_db(transaction=True)

GOOD = {"user_id": "u", "title": "t", "body": "b"}


def spec(*failures: Exception, base: float = 1.0, tries: int = 3, **more: Any) -> Spec:
    left = list(failures)

    def body(_arguments: UserNotification, _running: Running) -> None:
        if left:
            raise left.pop(0)

    return Spec(name="test.task", takes=UserNotification, body=body, backoff=lambda: Backoff(base, 1e6, tries), **more)


def deliver(wanted: Spec, kwargs: dict[str, Any] | None = None, *args: Any, key: str = "k") -> FakeTask:
    task = FakeTask(key)
    try:
        execute(task, wanted, args, GOOD if kwargs is None else kwargs)
    except FakeTask.Retry:
        assert task.retries
    return task


def row() -> Job:
    return Job.objects.get()


def test_a_job_that_works_is_done(sent):
    deliver(spec())
    assert (row().state, row().attempts, sent.outcomes) == ("done", 1, [("test.task", "done")])


def test_a_second_delivery_is_counted_and_not_run(sent):
    deliver(spec())
    deliver(spec(Exception("must not run")))
    assert [outcome for _, outcome in sent.outcomes] == ["done", "duplicate"]


def test_a_short_pause_is_left_to_celery(sent):
    task = deliver(spec(TryLater("not yet")))
    assert len(task.retries) == 1
    assert 0.5 <= task.retries[0] <= 1.0
    assert (row().state, row().last_error) == ("retrying", "not yet")


def test_a_long_pause_waits_in_the_table(sent):
    task = deliver(spec(TryLater("not yet"), base=5000.0))
    assert task.retries == []
    assert row().state == "waiting"
    assert row().run_at > timezone.now()


def test_the_other_side_may_ask_for_a_longer_pause(sent):
    assert deliver(spec(TryLater("busy", after=300.0))).retries == [300.0]


def test_any_error_is_tried_again_until_the_tries_are_used_up_and_then_told(sent):
    ends: list[str] = []
    failing = spec(*[ZeroDivisionError("no")] * 3, given_up=lambda _a, _r, reason: ends.append(reason))
    for _ in range(3):
        deliver(failing)
        Job.objects.filter(state="retrying").update(run_at=timezone.now())
    assert (row().state, row().attempts, row().last_error) == ("dead", 3, "ZeroDivisionError: no")
    assert ends == ["ZeroDivisionError: no"]
    assert sent.deaths == [("k", "ZeroDivisionError: no")]
    assert [outcome for _, outcome in sent.outcomes] == ["retried", "retried", "dead"]


def test_a_refusal_is_final(sent):
    assert deliver(spec(Refused("no means no"))).retries == []
    assert (row().state, row().last_error) == ("dead", "no means no")


@pytest.mark.parametrize(
    "kwargs",
    [{}, {**GOOD, "extra": 1}, {**GOOD, "title": 5}, {**GOOD, "user_id": ""}, {**GOOD, "language": "../../etc"}],
)
def test_wrong_arguments_are_parked(sent, kwargs):
    deliver(spec(), kwargs)
    assert row().state == "dead"
    assert row().last_error.startswith("wrong arguments")
    assert row().values == kwargs


def test_positional_arguments_are_parked_with_what_came(sent):
    deliver(spec(), GOOD, 1, 2)
    assert row().state == "dead"
    assert row().values["*"] == [1, 2]


def test_a_key_that_is_too_long_is_parked(sent):
    deliver(spec(), key="k" * 201)
    assert (row().state, len(row().key)) == ("dead", 200)


def test_a_job_that_kills_its_worker_each_time_is_given_up(sent):
    Job.objects.create(key="k", task="test.task", arguments=json.dumps(GOOD), state="queued", attempts=3)
    deliver(spec())
    assert row().state == "dead"
    assert "worker died" in row().last_error


def test_without_a_database_the_message_comes_again_later(sent, monkeypatch):
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(jobs, "claim", away)
    assert len(deliver(spec()).retries) == 1


def test_the_row_and_not_the_message_says_what_is_to_be_done(sent):
    jobs.schedule("test.task", {**GOOD, "title": "mine"}, key="k")
    seen: list[str] = []
    looking = Spec(
        name="test.task",
        takes=UserNotification,
        body=lambda arguments, _running: seen.append(arguments.title),
        backoff=runner.default_backoff,
    )
    deliver(looking)
    assert seen == ["mine"]
