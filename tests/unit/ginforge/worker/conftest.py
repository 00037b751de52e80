"""A fake of Celery's task and of Redis' side effects, for the tests of the worker."""

from __future__ import annotations

from typing import Any

import pytest

from ginforge.worker import metrics, staff
from ginforge.worker.conf import get_settings
from notifications import services
from notifications.outgoing import Outgoing


class FakeTask:
    """What the runner uses of Celery's bound task; ``retries`` holds the countdowns."""

    class Request:
        id = ""

    class Retry(Exception):
        """Stands for Celery's."""

    def __init__(self, key: str) -> None:
        self.request = self.Request()
        self.request.id = key
        self.retries: list[float] = []

    def retry(self, *, countdown: float, **_: Any) -> Exception:
        self.retries.append(countdown)
        return self.Retry()


class Sent:
    """What would have gone to Redis."""

    def __init__(self) -> None:
        self.messages: list[Outgoing] = []
        self.outcomes: list[tuple[str, str]] = []
        self.deaths: list[tuple[str, str]] = []


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Sent:
    record = Sent()

    class Client:
        def publish(self, message: Outgoing) -> str:
            record.messages.append(message)
            return message.id

    monkeypatch.setattr(services, "default_client", Client)
    monkeypatch.setattr("ginforge.worker.progress.default_client", Client)
    monkeypatch.setattr(metrics, "record", lambda task, outcome, seconds=None: record.outcomes.append((task, outcome)))
    monkeypatch.setattr(staff, "tell_of_death", lambda job, reason: record.deaths.append((job.key, reason)))
    return record


@pytest.fixture(autouse=True)
def fresh_worker_settings():
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()
