"""The progress of a long job, streamed to its user: ``data_update {entity: "task", action: "progress", …}``."""

from __future__ import annotations

import logging
import time
from typing import Any

from ginforge.worker.conf import get_settings
from notifications import NotificationError, outgoing
from notifications.outgoing import Outgoing, UserId
from notifications.services import notify
from notifications.shortcuts import default_client

logger = logging.getLogger(__name__)


class Progress:
    """Tells a user how far a job is, at most every ``progress_interval`` seconds.

    Progress is at most once and never fails the job; the final notification is stored and durable.
    """

    def __init__(self, user_id: UserId, job_key: str, *, total: int, label: str = "") -> None:
        self._user_id = user_id
        self._key = job_key
        self._total = total
        self._label = label
        self._told_at = 0.0
        self._told = -1
        self.done = 0

    def advance(self, count: int = 1) -> None:
        """Count ``count`` more units as done."""
        self.done += count
        if self.done != self._told and time.monotonic() - self._told_at >= get_settings().progress_interval:
            self._tell("progress")

    def finish(self, title: str, body: str, *, data: dict[str, Any] | None = None) -> None:
        """Tell that all is done, and notify the user. Raises ``NotificationError`` when Redis does not take that."""
        self._tell("done", data)
        self._notify(title, body, data)

    def fail(self, title: str, body: str) -> None:
        """Tell that the job has failed, and notify the user. Raises ``NotificationError``."""
        self._tell("failed")
        self._notify(title, body, None)

    def content(self, action: str, result: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the ``content`` of one message; ``percent`` is a whole number from 0 to 100."""
        percent = min(100, 100 * self.done // self._total) if self._total > 0 else 100
        data = {"done": self.done, "total": self._total, "percent": percent, "label": self._label}
        return {"entity": "task", "action": action, "id": self._key, "data": data | (result or {})}

    def _tell(self, action: str, result: dict[str, Any] | None = None) -> None:
        self._told_at, self._told = time.monotonic(), self.done
        try:
            default_client().publish(self._message(action, result))
        except NotificationError as error:
            logger.warning("progress not sent: job=%s: %s", self._key, error)

    def _message(self, action: str, result: dict[str, Any] | None) -> Outgoing:
        return outgoing.message(self._user_id, self.content(action, result), type="data_update")

    def _notify(self, title: str, body: str, data: dict[str, Any] | None) -> None:
        identity = f"{self._key}:end"
        notify(self._user_id, title, body, category="task", data=data, id=identity, durable=True, must_send=True)
