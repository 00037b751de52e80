"""``manage.py prunenotifications``."""

from __future__ import annotations

import datetime as dt
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from notifications import services
from notifications.models import StoredMessage

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def messages(client):
    """Seven messages, one for each of the last days; the oldest three are read."""
    for age in range(7):
        row = services.notify(1, "a", "b", id=f"{age} days old")
        row.created_at = timezone.now() - dt.timedelta(days=age, minutes=1)
        row.read_at = timezone.now() if age > 3 else None
        row.save()


def prune(*arguments: str) -> str:
    out = StringIO()
    call_command("prunenotifications", *arguments, stdout=out)
    return out.getvalue()


def test_messages_older_than_the_days_go():
    prune("--days", "2")
    assert set(StoredMessage.objects.values_list("message_id", flat=True)) == {"0 days old", "1 days old"}


def test_unread_messages_can_be_spared():
    prune("--days", "2", "--only-read")
    assert StoredMessage.objects.count() == 4


def test_a_dry_run_only_counts():
    assert "5 messages" in prune("--days", "2", "--dry-run")
    assert StoredMessage.objects.count() == 7


def test_progress_is_told_batch_by_batch():
    told = prune("--days", "0", "--batch-size", "3").splitlines()
    assert [line for line in told if line.startswith("deleted")] == [
        "deleted 3 of 7",
        "deleted 6 of 7",
        "deleted 7 of 7",
    ]
    assert told[-1] == "Deleted 7 messages."


@pytest.mark.parametrize("arguments", [("--days", "-1"), ("--batch-size", "0")])
def test_senseless_arguments_are_refused(arguments):
    with pytest.raises(CommandError):
        prune(*arguments)
