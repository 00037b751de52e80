"""Every task end to end: queued from another process, run by a real worker, seen by a client."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ginforge.embedded import free_port
from ginforge.worker.broker import QUEUE_KEY, UNACKED_KEY
from tests.integration.clients import Client
from tests.integration.programs import ROOT, Program, passing_environment, wait_until
from tests.integration.stack import Stack, get

CELERY = str(Path(sys.executable).with_name("celery"))
SENDER = """
import json, sys
from celery import Celery
app = Celery("other", broker=sys.argv[1])
app.conf.broker_transport_options = {"global_keyprefix": "ginforge:celery:"}
for task, key, kwargs in json.loads(sys.argv[2]):
    app.send_task(task, kwargs=kwargs, task_id=key)
"""


class PaymentService:
    """An HTTP server whose answers a test decides; ``requests`` holds (Idempotency-Key, body)."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[int] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.requests.append((self.headers["Idempotency-Key"], body))
                status = service.answers.pop(0) if service.answers else 200
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/pay"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def of(self, payment: str) -> list[tuple[str, dict[str, Any]]]:
        return [request for request in self.requests if request[1]["payment_id"] == payment]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Works:
    """A deployment with a worker and a beat."""

    def __init__(self, stack: Stack, payments: PaymentService, uploads: Path, metrics_port: int) -> None:
        self.stack = stack
        self.payments = payments
        self.uploads = uploads
        self.metrics_url = f"http://127.0.0.1:{metrics_port}/metrics"
        self.programs: list[Program] = []

    def start(self, kind: str, *arguments: str) -> Program:
        command = [CELERY, "-A", "ginforge", kind, "--loglevel", "INFO", *arguments]
        program = Program(f"celery-{kind}-{len(self.programs)}", command, self.stack.env).start()
        self.programs.append(program)
        return program

    def start_worker(self) -> Program:
        worker = self.start("worker", "--concurrency", "2")
        worker.wait_for_log(" ready.")
        return worker

    def send(self, *jobs: tuple[str, str, dict[str, Any]]) -> None:
        """Queue jobs from another process, that knows nothing but the Redis URL."""
        command = [sys.executable, "-c", SENDER, self.stack.redis_url, json.dumps(jobs)]
        done = subprocess.run(
            command, env=passing_environment(), cwd="/", capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr

    def rows(self) -> dict[str, dict[str, Any]]:
        """Return all jobs by key, read from the database file as it is."""
        import sqlite3

        path = self.stack.env["DATABASE_URL"].removeprefix("sqlite:///")
        with sqlite3.connect(path, timeout=20) as connection:
            connection.row_factory = sqlite3.Row
            return {row["key"]: dict(row) for row in connection.execute("SELECT * FROM worker_job")}

    def state(self, key: str) -> str:
        return str(self.rows().get(key, {}).get("state", "missing"))

    def wait_for_state(self, key: str, state: str, timeout: float = 60.0) -> dict[str, Any]:
        wait_until(lambda: self.state(key) == state, f"{key} to be {state}; it is {self.rows().get(key)}", timeout)
        return self.rows()[key]

    def counted(self, task: str, outcome: str) -> float:
        """Return a counter of ``/metrics``."""
        name = f'worker_jobs_total{{outcome="{outcome}",task="{task}"}} '
        lines = get(self.metrics_url)[1].splitlines()
        return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)

    def is_idle(self) -> bool:
        """Say whether no message is in the queue or with a worker."""
        with self.stack.redis() as redis:
            return redis.llen(QUEUE_KEY) == redis.hlen(UNACKED_KEY) == 0

    def shell(self, code: str) -> str:
        return self.stack.manage("shell", "--no-imports", "-c", code)

    def close(self) -> None:
        for program in self.programs:
            program.kill()
            program.close()


SETTINGS = {
    "lease": 2.0,
    "dispatch_interval": 0.2,
    "attempts": 3,
    "retry_base": 0.1,
    "visibility_timeout": 2.0,
    "payment_base": 0.2,
    "payment_attempts": 3,
    "payment_timeout": 2.0,
    "progress_interval": 0.05,
}


@pytest.fixture(scope="module")
def start_works(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Iterator[Callable[..., Works]]:
    opened: list[Works] = []

    def start(**settings: Any) -> Works:
        uploads = tmp_path_factory.mktemp("uploads")
        payments, port = PaymentService(), free_port()
        values = {
            **SETTINGS,
            "payment_url": payments.url,
            "upload_dir": str(uploads),
            "metrics_port": port,
            **settings,
        }
        stack = Stack(tmp_path_factory.mktemp("stack"), migrated_database, {"WORKER": json.dumps(values)})
        works = Works(stack, payments, uploads, port)
        opened.append(works)
        stack.start()
        works.start("beat")
        works.start_worker()
        return works

    yield start
    for works in opened:
        works.close()
        works.stack.close()
        works.payments.close()


@pytest.fixture(scope="module")
def works(start_works: Callable[..., Works]) -> Works:
    return start_works()


async def notification(client: Client, title: str) -> dict[str, Any]:
    """Wait for the notification with this title."""

    def found() -> dict[str, Any] | None:
        return next((m for m in client.of_type("notification") if m["content"]["title"] == title), None)

    message: dict[str, Any] = await client.until(found, f"the notification {title!r}")
    return message


async def test_an_order_reminder_and_a_notification_reach_their_user(works: Works):
    async with Client(works.stack.ws("reader")) as client:
        works.send(
            ("order.reminder", "remind-7", {"order_id": 7, "user_id": "reader"}),
            ("order.reminder", "remind-8", {"order_id": 8, "user_id": "reader", "language": "zh-hans"}),
            ("user.notification", "tell-1", {"user_id": "reader", "title": "Hello", "body": "It works", "link": "/x"}),
        )
        reminder = await notification(client, "Reminder")
        assert "7" in reminder["content"]["body"]
        assert "8" in (await notification(client, "提醒"))["content"]["body"]
        told = await notification(client, "Hello")
        assert (told["content"]["link"], told["data"]["notification_id"]) == ("/x", "tell-1")
    assert works.wait_for_state("remind-7", "done")["attempts"] == 1


async def test_an_inventory_alert_reaches_the_staff_in_their_room_and_nobody_else(works: Works):
    async with Client(works.stack.ws("boss", is_staff=True)) as staff, Client(works.stack.ws("visitor")) as visitor:
        await staff.join("admin:inventory")
        assert (await visitor.ask(type="join_room", content="admin:inventory"))["type"] == "error"
        works.send(("inventory.alert", "low-1", {"sku": "tea-1", "level": 2, "threshold": 5}))
        (message,) = await staff.wait_for("room_message")
        assert (message["room"], message["content"]["sku"], message["content"]["level"]) == (
            "admin:inventory",
            "tea-1",
            2,
        )
        assert not visitor.of_type("room_message")


async def test_a_payment_is_tried_again_until_it_goes_through_with_one_idempotency_key(works: Works):
    works.payments.answers = [503, 500]
    async with Client(works.stack.ws("payer")) as client:
        works.send(("payment.retry", "pay-1", {"payment_id": "p1", "user_id": "payer", "payload": {"amount": 5}}))
        await notification(client, "Payment complete")
    assert works.wait_for_state("pay-1", "done")["attempts"] == 3
    came = works.payments.of("p1")
    assert [body["attempt"] for _, body in came] == [1, 2, 3]
    assert {key for key, _ in came} == {"payment.retry:p1"}


async def test_a_payment_that_never_succeeds_ends_dead_and_user_and_staff_are_told(works: Works):
    works.payments.answers = [500, 500, 500]
    async with Client(works.stack.ws("broke")) as client, Client(works.stack.ws("chief", is_staff=True)) as staff:
        await staff.join("admin:tasks")
        works.send(("payment.retry", "pay-2", {"payment_id": "p2", "user_id": "broke"}))
        await notification(client, "Payment failed")
        await staff.until(
            lambda: [c for c in staff.contents("room_message") if c["key"] == "pay-2"], "the staff's news"
        )
    row = works.wait_for_state("pay-2", "dead")
    assert (row["attempts"], row["last_error"]) == (3, "the payment service answered 500")


def test_a_poison_job_is_parked_and_runs_again_once_the_admin_has_set_it_right(works: Works):
    works.send(
        ("order.reminder", "poison-1", {"wrong": True}),
        ("no.such.task", "poison-2", {"a": 1}),
        ("user.notification", "poison-3", {"user_id": "x", "title": 5, "body": ""}),
    )
    assert "wrong arguments" in works.wait_for_state("poison-1", "dead")["last_error"]
    assert works.wait_for_state("poison-2", "dead")["arguments"] == '{"a": 1}'
    works.wait_for_state("poison-3", "dead")
    works.shell(
        "from ginforge.worker import jobs; from ginforge.worker.models import Job;"
        "rows = Job.objects.filter(key='poison-1');"
        """rows.update(arguments='{"order_id": 1, "user_id": "x"}'); jobs.run_again(rows)"""
    )
    works.wait_for_state("poison-1", "done")


async def test_the_progress_of_an_upload_is_streamed_to_its_user(works: Works):
    (works.uploads / "film.bin").write_bytes(b"x" * 100_000)
    async with Client(works.stack.ws("uploader")) as client:
        job = {"upload_id": "film.bin", "user_id": "uploader", "chunk": 5000, "pause": 0.02}
        works.send(("upload.import", "upload-1", job))
        done = await notification(client, "Upload complete")
        updates = [c for c in client.contents("data_update") if c["entity"] == "task" and c["id"] == "upload-1"]
    percents = [content["data"]["percent"] for content in updates]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert len(updates) > 2
    assert [c["action"] for c in updates].count("done") == 1
    assert len(done["content"]["data"]["sha256"]) == 64


def test_the_cleanup_deletes_what_has_had_its_time_and_nothing_else(works: Works):
    works.shell(
        "import datetime as dt; from django.utils import timezone; from notifications.models import StoredMessage;"
        "from rest_framework_simplejwt.token_blacklist.models import OutstandingToken;"
        "from ginforge.worker import jobs; from ginforge.worker.models import Job;"
        "old = timezone.now() - dt.timedelta(days=400);"
        "[StoredMessage.objects.create(recipient='c', message_id=str(i), digest=f'clean{i}', type='chat', text='{}',"
        " created_at=at) for i, at in enumerate([old, timezone.now()])];"
        "[OutstandingToken.objects.create(jti=f'c{i}', token='x', expires_at=timezone.now() + dt.timedelta(days=d))"
        " for i, d in enumerate([-1, 1])];"
        "Job.objects.create(key='ancient', task='x', state='done', finished_at=old)"
    )
    with works.stack.redis() as redis:
        redis.xadd("ginforge:deadletters", {"channel": "c", "payload": "old"}, id="1000-0")
        redis.xadd("ginforge:deadletters", {"channel": "c", "payload": "new"})
        works.send(("system.cleanup", "clean-1", {}))
        works.wait_for_state("clean-1", "done")
        assert [fields[b"payload"] for _, fields in redis.xrange("ginforge:deadletters")] == [b"new"]
    assert works.state("ancient") == "missing"
    left = works.shell(
        "from notifications.models import StoredMessage as S; from rest_framework_simplejwt.token_blacklist.models"
        " import OutstandingToken as T; print(S.objects.filter(recipient='c').count(),"
        " T.objects.filter(jti__in=['c0', 'c1']).count())"
    )
    assert left.split() == ["1", "1"]


async def test_a_job_days_ahead_runs_once_though_it_is_asked_for_twice_and_two_beats_run(works: Works):
    works.start("beat")
    arguments = {"user_id": "patient", "title": "At last", "body": ""}
    asked = {"task": "user.notification", "key": "later-1", "run_at": time.time() + 3 * 86_400, "arguments": arguments}
    works.send(("job.schedule", "s-1", asked), ("job.schedule", "s-2", asked))
    works.wait_for_state("s-1", "done")
    works.wait_for_state("s-2", "done")
    async with Client(works.stack.ws("patient")) as client:
        before = works.counted("user.notification", "duplicate")
        works.send(("user.notification", "later-1", arguments))  # a stray message for a job that is not due
        wait_until(lambda: works.counted("user.notification", "duplicate") > before, "the stray message to be dropped")
        assert (works.state("later-1"), works.rows()["later-1"]["attempts"]) == ("waiting", 0)
        works.shell(
            "from ginforge.worker.models import Job; from django.utils import timezone;"
            "Job.objects.filter(key='later-1').update(run_at=timezone.now())"
        )
        await notification(client, "At last")
        works.wait_for_state("later-1", "done")
        wait_until(works.is_idle, "every delivery to be dealt with")
        assert works.rows()["later-1"]["attempts"] == 1
        assert len(client.of_type("notification")) == 1


def test_a_message_that_redis_hands_out_again_during_the_work_runs_once(works: Works):
    (works.uploads / "slow.bin").write_bytes(b"x" * 80)
    job = {"upload_id": "slow.bin", "user_id": "slow", "chunk": 1, "pause": 0.25}
    before = works.counted("upload.import", "duplicate")
    works.send(("upload.import", "slow-1", job))
    wait_until(lambda: works.counted("upload.import", "duplicate") > before, "the message to come a second time")
    assert works.state("slow-1") == "running"
    assert works.wait_for_state("slow-1", "done")["attempts"] == 1


def test_health_and_metrics_say_what_is_there(works: Works):
    works.send(("user.notification", "metric-1", {"user_id": "m", "title": "M", "body": ""}))
    works.wait_for_state("metric-1", "done")
    assert works.stack.manage("workerhealth", "worker").strip() == "ok"
    assert works.stack.manage("workerhealth", "beat").strip() == "ok"
    status, text = get(works.metrics_url)
    assert status == 200
    assert 'worker_jobs_total{outcome="done",task="user.notification"}' in text
    assert 'worker_job_seconds_bucket{le="+Inf",task="user.notification"}' in text
    assert "worker_queue_length 0.0" in text
    answer = subprocess.run(
        [CELERY, "-A", "ginforge", "inspect", "ping"],
        env={**passing_environment(), **works.stack.env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "pong" in answer.stdout, answer.stdout + answer.stderr


def test_a_job_whose_worker_is_killed_in_the_middle_runs_again_once(start_works: Callable[..., Works]):
    works = start_works()
    (works.uploads / "long.bin").write_bytes(b"x" * 20)
    job = {"upload_id": "long.bin", "user_id": "victim", "chunk": 1, "pause": 0.2}
    works.send(("upload.import", "killed-1", job))
    works.wait_for_state("killed-1", "running")
    works.programs[-1].kill()
    assert works.state("killed-1") == "running"
    works.start_worker()
    row = works.wait_for_state("killed-1", "done")
    assert row["attempts"] == 2
    wait_until(works.is_idle, "every delivery to be dealt with")
    assert works.rows()["killed-1"]["attempts"] == 2


async def test_a_job_over_its_time_limit_is_cut_and_in_the_end_its_user_is_told(start_works: Callable[..., Works]):
    works = start_works(soft_time_limit=1, time_limit=5, attempts=2)
    (works.uploads / "endless.bin").write_bytes(b"x" * 1000)
    async with Client(works.stack.ws("waiter")) as client:
        job = {"upload_id": "endless.bin", "user_id": "waiter", "chunk": 1, "pause": 0.1}
        works.send(("upload.import", "endless-1", job))
        await notification(client, "Upload failed")
        assert client.contents("data_update")[-1]["action"] == "failed"
    row = works.wait_for_state("endless-1", "dead")
    assert (row["attempts"], row["last_error"]) == (2, "time limit exceeded")


def test_a_redis_that_was_emptied_costs_no_job(start_works: Callable[..., Works]):
    works = start_works(queue_patience=2.0)
    works.programs[-1].kill()  # nobody takes what is queued
    works.shell(
        "from ginforge.worker import jobs;"
        "jobs.schedule('user.notification', {'user_id': 'x', 'title': 't', 'body': ''}, key='flushed-1')"
    )
    works.wait_for_state("flushed-1", "queued")
    with works.stack.redis() as redis:
        redis.flushall()
    works.start_worker()
    assert works.wait_for_state("flushed-1", "done")["attempts"] == 1
