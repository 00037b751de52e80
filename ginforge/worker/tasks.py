"""The tasks by name; each one is a small body around ``notifications`` and a hook of the business."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from ginforge.celery import app
from ginforge.worker import cleanup, events, jobs, payments, uploads
from ginforge.worker.arguments import (
    Cleanup,
    InventoryAlert,
    JobSchedule,
    OrderReminder,
    PaymentRetry,
    UploadImport,
    UserNotification,
)
from ginforge.worker.conf import get_settings
from ginforge.worker.errors import Refused
from ginforge.worker.runner import Running, Spec, default_backoff, execute
from notifications import send_to_room
from notifications.services import notify


def remind_of_order(arguments: OrderReminder, running: Running) -> None:
    """Notify the owner of an order, if the order still wants it."""
    user_id, order_id = str(arguments.user_id), str(arguments.order_id)
    reminder = import_string(get_settings().order_reminder)(order_id, user_id)
    if reminder is None:
        return
    notify(
        user_id,
        reminder.title,
        reminder.body,
        link=reminder.link,
        category="order",
        data={"order_id": order_id},
        id=running.key,
        durable=True,
        must_send=True,
    )


def notify_user(arguments: UserNotification, running: Running) -> None:
    """Store and send a notification, if the user wants its category."""
    user_id = str(arguments.user_id)
    if not import_string(get_settings().may_notify)(user_id, arguments.category):
        return
    notify(
        user_id,
        arguments.title,
        arguments.body,
        icon=arguments.icon,
        link=arguments.link,
        category=arguments.category,
        data=arguments.data,
        id=running.key,
        durable=True,
        must_send=True,
    )


def alert_of_inventory(arguments: InventoryAlert, running: Running) -> None:
    """Tell the staff's room that a stock is low, unless it has recovered meanwhile."""
    present = import_string(get_settings().inventory_level)(arguments.sku)
    level = arguments.level if present is None else present
    if level > arguments.threshold:
        return
    name = arguments.name or arguments.sku
    content = {
        "kind": "inventory_alert",
        "sku": arguments.sku,
        "name": name,
        "level": level,
        "threshold": arguments.threshold,
        "text": _("Only %(level)d of %(name)s are left.") % {"level": level, "name": name},
    }
    send_to_room(get_settings().inventory_room, content, id=running.key, durable=True)


def schedule_job(arguments: JobSchedule, _running: Running) -> None:
    """Write another job into the table, for a service that has no access to it."""
    if arguments.task not in app.tasks or arguments.task == "job.schedule":
        raise Refused(f"there is no task {arguments.task!r} to schedule")
    moment = arguments.run_at
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime.fromtimestamp(moment, dt.UTC)
    elif moment.tzinfo is None:
        raise Refused("run_at has no offset from UTC")
    jobs.schedule(arguments.task, arguments.arguments, run_at=moment, key=arguments.key)


__all__ = ["SPECS", "events", "register"]

SPECS = (
    Spec(name="order.reminder", takes=OrderReminder, body=remind_of_order, backoff=default_backoff),
    Spec(name="user.notification", takes=UserNotification, body=notify_user, backoff=default_backoff),
    Spec(name="inventory.alert", takes=InventoryAlert, body=alert_of_inventory, backoff=default_backoff),
    Spec(
        name="payment.retry",
        takes=PaymentRetry,
        body=payments.retry,
        backoff=payments.backoff,
        given_up=payments.give_up,
    ),
    Spec(name="system.cleanup", takes=Cleanup, body=cleanup.clean, backoff=default_backoff),
    Spec(
        name="upload.import",
        takes=UploadImport,
        body=uploads.import_upload,
        backoff=default_backoff,
        given_up=uploads.give_up,
    ),
    Spec(name="job.schedule", takes=JobSchedule, body=schedule_job, backoff=default_backoff),
)


def register(spec: Spec) -> Any:
    """Make a Celery task of a spec; other Django apps add their own tasks with it, in their ``tasks.py``."""

    def run(task: Any, /, *args: Any, **kwargs: Any) -> None:
        execute(task, spec, args, kwargs)

    run.__doc__ = spec.body.__doc__
    return app.task(name=spec.name, bind=True, typing=False)(run)


for _spec in SPECS:
    register(_spec)
