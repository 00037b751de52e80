"""Admin page of the jobs: what waits, what died and why, and "run again"."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _gettext
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ginforge.worker import jobs
from ginforge.worker.models import Job

if TYPE_CHECKING:
    JobModelAdmin = admin.ModelAdmin[Job]
    JobModelForm = forms.ModelForm[Job]
else:
    JobModelAdmin, JobModelForm = admin.ModelAdmin, forms.ModelForm


class JobForm(JobModelForm):
    """Only the arguments of a job that is dead can be set right."""

    class Meta:
        """Arguments alone."""

        model = Job
        fields = ("arguments",)

    def clean_arguments(self) -> str:
        """Return the arguments, if they are a JSON object."""
        text: str = self.cleaned_data["arguments"]
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise forms.ValidationError(_gettext("The arguments must be a JSON object."))
        return text


@admin.register(Job)
class JobAdmin(JobModelAdmin):
    """Jobs are made by code; staff may run them again or cancel them."""

    form = JobForm
    list_display = ("key", "task", "state", "run_at", "attempts", "started_at", "finished_at", "last_error")
    list_filter = ("state", "task", "run_at")
    search_fields = ("=key", "task", "arguments", "last_error")
    date_hierarchy = "run_at"
    actions = ("run_again", "cancel")
    list_per_page = 50
    show_full_result_count = False
    fields = (*list_display, "arguments", "created_at", "queued_at", "claimed_by", "claimed_until")

    def get_readonly_fields(self, request: HttpRequest, obj: Job | None = None) -> list[str]:  # noqa: ARG002
        """Everything, but the arguments of a dead job."""
        editable = {"arguments"} if obj is not None and obj.state == Job.State.DEAD else set()
        return [name for name in self.fields if name not in editable]

    @admin.action(description=_("Run again"), permissions=["run"])
    def run_again(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Have the chosen jobs run once more, if they are over."""
        self._say(request, jobs.run_again(queryset))

    @admin.action(description=_("Cancel"), permissions=["run"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        """Cancel the chosen jobs that have not started."""
        self._say(request, sum(jobs.cancel(key) for key in queryset.values_list("key", flat=True)))

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Tell whether this user may start and cancel jobs."""
        return bool(request.user.has_perm("worker.run_job"))

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Refuse: jobs come from code."""
        return False

    def _say(self, request: HttpRequest, count: int) -> None:
        text = ngettext("%(count)d job changed.", "%(count)d jobs changed.", count) % {"count": count}
        self.message_user(request, text, messages.SUCCESS if count else messages.WARNING)

    def save_model(self, request: HttpRequest, obj: Job, form: Any, change: bool) -> None:  # noqa: ARG002
        """Write the arguments alone: the worker may have changed the rest meanwhile."""
        Job.objects.filter(pk=obj.pk, state=Job.State.DEAD).update(arguments=obj.arguments)
