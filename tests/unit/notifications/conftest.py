"""A client that keeps what it is given, in place of the process's own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest

from notifications import shortcuts
from notifications.client import NotificationClient
from notifications.errors import RedisUnavailable
from notifications.outgoing import Outgoing


class RecordingClient(NotificationClient):
    """Collects messages in ``sent``; with ``down`` it fails like a Redis that is away."""

    def __init__(self) -> None:
        super().__init__("redis://127.0.0.1:1/0")
        self.sent: list[Outgoing] = []
        self.down = False

    def publish(self, message: Outgoing) -> str:
        self.send_many([message])
        return message.id

    def send_many(self, messages: Iterable[Any]) -> list[str]:
        if self.down:
            raise RedisUnavailable("Redis did not answer: down")
        self.sent += messages
        return [message.id for message in self.sent]

    @property
    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """What was sent, as (channel, message)."""
        return [(message.channel, json.loads(message.payload)) for message in self.sent]


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> RecordingClient:
    recording = RecordingClient()
    monkeypatch.setattr("notifications.services.default_client", lambda: recording)
    monkeypatch.setattr(shortcuts, "default_client", lambda: recording)
    return recording
