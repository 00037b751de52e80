"""An order service: notifies at once through Redis, and later through the gateway's worker."""

import os
import sys
import time

from celery import Celery

from notifications import broadcast_data_update, send_notification

REMIND_AFTER = float(os.environ.get("REMIND_AFTER", "172800"))
"""Seconds."""

worker = Celery("orders", broker=os.environ["REDIS_URL"])
worker.conf.broker_transport_options = {"global_keyprefix": "ginforge:celery:"}  # where the gateway's worker listens


def place(order_id: str, user_id: str) -> None:
    """Confirm an order, and have its user reminded of it later."""
    send_notification(user_id, "Order placed", f"Order {order_id}", id=f"order:{order_id}:placed", durable=True)
    broadcast_data_update("order", "create", id=order_id)
    worker.send_task(
        "job.schedule",
        kwargs={
            "task": "order.reminder",
            "key": f"order:{order_id}:reminder",
            "run_at": time.time() + REMIND_AFTER,
            "arguments": {"order_id": order_id, "user_id": user_id},
        },
    )


def paid(order_id: str, user_id: str) -> None:
    """Thank for a payment; the worker does it, so that a Redis without a bridge does not hold the order up."""
    arguments = {"user_id": user_id, "title": "Paid", "body": f"Order {order_id} is on its way", "category": "order"}
    worker.send_task("user.notification", kwargs=arguments, task_id=f"order:{order_id}:paid")
    broadcast_data_update("order", "paid", id=order_id)


if __name__ == "__main__":
    {"place": place, "paid": paid}[sys.argv[1]](*sys.argv[2:4])
