"""The table of jobs: the truth about what is to run, runs, and ran. The queue only carries keys and arguments."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

MAX_ERROR = 1000
MAX_KEY = 200


class Job(models.Model):
    """One job: ``key`` is its Celery task id, so that every delivery of a message finds its row."""

    class State(models.TextChoices):
        """``waiting → queued → running → done | retrying | dead``."""

        WAITING = "waiting", _("waiting")
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        RETRYING = "retrying", _("waits to be tried again")
        DONE = "done", _("done")
        DEAD = "dead", _("dead")
        CANCELLED = "cancelled", _("cancelled")

    key = models.CharField(
        _("key"), max_length=MAX_KEY, unique=True, help_text=_("A second job with this key is not made.")
    )
    task = models.CharField(_("task"), max_length=100)
    arguments = models.TextField(_("arguments"), default="{}", help_text=_("A JSON object."))
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.WAITING)
    run_at = models.DateTimeField(_("due"), default=timezone.now)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    queued_at = models.DateTimeField(_("queued"), null=True, blank=True)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    claimed_by = models.CharField(_("claimed by"), max_length=64, blank=True)
    claimed_until = models.DateTimeField(_("claimed until"), null=True, blank=True)
    last_error = models.CharField(_("last error"), max_length=MAX_ERROR, blank=True)

    class Meta:
        """Newest first; the index serves the search for due jobs."""

        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        ordering: ClassVar = ["-pk"]
        indexes: ClassVar = [models.Index(fields=["state", "run_at"], name="worker_job_due")]
        permissions: ClassVar = [("run_job", "Can run a job again or cancel it")]

    def __str__(self) -> str:
        return f"{self.task} {self.key}"

    @property
    def values(self) -> Any:
        """The arguments, decoded; raises ``ValueError`` when somebody wrote rubbish into them."""
        return json.loads(self.arguments)
