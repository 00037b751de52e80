"""What each task takes. Anything else parks the job."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1, max_length=512)]
Text = Annotated[str, Meta(max_length=10_000)]
UserId = Name | int


class Arguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all; ``language`` (``zh-hans``) is what texts to a user are written in."""

    language: Annotated[str, Meta(pattern=r"^[A-Za-z-]{2,16}$")] | None = None


class OrderReminder(Arguments, frozen=True, kw_only=True):
    """``order.reminder``."""

    order_id: Name | int
    user_id: UserId


class UserNotification(Arguments, frozen=True, kw_only=True):
    """``user.notification``; the fields of ``send_notification``."""

    user_id: UserId
    title: Text
    body: Text
    icon: Text | None = None
    link: Text | None = None
    category: Annotated[str, Meta(max_length=100)] | None = None
    data: Any = None


class PaymentRetry(Arguments, frozen=True, kw_only=True):
    """``payment.retry``; ``payload`` is sent along to the payment service."""

    payment_id: Name | int
    user_id: UserId | None = None
    payload: dict[str, Any] = {}


class InventoryAlert(Arguments, frozen=True, kw_only=True):
    """``inventory.alert``."""

    sku: Name
    level: int
    threshold: int
    name: Text = ""


class Cleanup(Arguments, frozen=True, kw_only=True):
    """``system.cleanup`` takes nothing."""


class UploadImport(Arguments, frozen=True, kw_only=True):
    """``upload.import``, the example of a long task."""

    upload_id: Name
    user_id: UserId
    chunk: Annotated[int, Meta(ge=1, le=16_777_216)] = 262_144
    pause: Annotated[float, Meta(ge=0, le=60)] = 0.0
    """Seconds between chunks, to look at it."""


class JobSchedule(Arguments, frozen=True, kw_only=True):
    """``job.schedule``: have another task run later; for services without this database."""

    task: Name
    run_at: dt.datetime | float
    """ISO 8601 with an offset, or Unix seconds."""
    key: Annotated[str, Meta(min_length=1, max_length=200)]
    arguments: dict[str, Any] = {}
