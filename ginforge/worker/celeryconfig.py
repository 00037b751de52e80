"""Celery's settings, by Celery's names; what a project tunes is ``settings.WORKER``."""

from __future__ import annotations

import ssl

from celery.schedules import crontab
from django.conf import settings

from ginforge.worker.broker import KEY_PREFIX, broker_address
from ginforge.worker.conf import get_settings

_conf = get_settings()

broker_url = broker_address(getattr(settings, "CELERY_BROKER_URL", "") or settings.REDIS_URLS[0])
broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED} if broker_url.startswith("rediss://") else None
broker_transport_options = {
    "global_keyprefix": KEY_PREFIX,
    "visibility_timeout": _conf.visibility_timeout,
    # How often kombu looks for messages that were not acknowledged in time; its own default is every 100 seconds.
    "unacked_restore_interval": min(10.0, _conf.visibility_timeout / 4),
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 15,
}
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # for ever: Redis may be away for an hour

accept_content = ["json"]
task_serializer = "json"
result_serializer = "json"
task_ignore_result = True  # the table says what became of a job

task_acks_late = True
task_reject_on_worker_lost = True
worker_prefetch_multiplier = 1
worker_cancel_long_running_tasks_on_connection_loss = False  # the claim keeps a second delivery from running
task_soft_time_limit = _conf.soft_time_limit
task_time_limit = _conf.time_limit
task_publish_retry_policy = {"max_retries": 2, "interval_start": 0.1, "interval_max": 0.5}

worker_max_tasks_per_child = 1000
worker_hijack_root_logger = False
worker_send_task_events = False
timezone = "UTC"
enable_utc = True

beat_scheduler = "ginforge.worker.scheduler:JobScheduler"
beat_max_loop_interval = _conf.dispatch_interval
beat_schedule = (
    {"cleanup": {"task": "system.cleanup", "schedule": crontab(hour=_conf.cleanup_hour, minute=17)}}
    if _conf.beat
    else {}
)
