"""Everything tunable about the worker: one frozen dataclass, read from ``settings.WORKER``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

HOOKS: Final = ("order_reminder", "may_notify", "inventory_level", "payment_settled", "open_upload")
"""Settings that name a function of the business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """Settings of the worker with their defaults; times in seconds unless said."""

    # Jobs
    lease: float = 30.0
    """A running job whose worker did not renew for this long is run again."""
    queue_patience: float = 900.0
    """A queued job that nobody has taken for this long is queued again."""
    dispatch_interval: float = 1.0
    """How often beat looks for due jobs."""
    dispatch_batch: int = 200
    attempts: int = 6
    """Runs of one job before it is dead; ``payment.retry`` has its own."""
    retry_base: float = 2.0
    """First pause after a failure; it doubles, with jitter."""
    retry_cap: float = 600.0
    soft_time_limit: int = 270
    time_limit: int = 300
    visibility_timeout: float = 3600.0
    """Redis hands a message that was not acknowledged for this long to another worker."""
    beat: bool = True
    """Whether beat runs the daily clean-up."""
    cleanup_hour: int = 3
    """UTC."""

    # Payments
    payment_url: str = ""
    """Where ``payment.retry`` POSTs."""
    payment_timeout: float = 10.0
    payment_attempts: int = 8
    payment_base: float = 60.0
    payment_cap: float = 21_600.0

    # Rooms of the staff
    inventory_room: str = "admin:inventory"
    tasks_room: str = "admin:tasks"
    """Hears of jobs that died."""

    # Keeping
    keep_messages_days: float = 90.0
    keep_dead_letters_days: float = 14.0
    keep_jobs_days: float = 30.0
    keep_dead_jobs_days: float = 90.0

    # Progress
    progress_interval: float = 0.5
    """Least time between two progress messages of one job."""
    upload_dir: str = ""
    """Where the default ``open_upload`` looks."""

    # Metrics
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    """Where worker and beat serve Prometheus metrics; 0 means not."""

    # Hooks, dotted paths (docs/worker.md)
    order_reminder: str = "ginforge.worker.hooks.order_reminder"
    may_notify: str = "ginforge.worker.hooks.may_notify"
    inventory_level: str = "ginforge.worker.hooks.inventory_level"
    payment_settled: str = "ginforge.worker.hooks.payment_settled"
    open_upload: str = "ginforge.worker.hooks.open_upload"
    cleanup_steps: tuple[str, ...] = ()
    """More steps of ``system.cleanup``: functions without arguments that return a number."""

    def __post_init__(self) -> None:
        problems = [
            f"{field.name} must be above 0"
            for field in fields(self)
            if field.name not in ("metrics_port", "cleanup_hour", "beat")
            and isinstance(value := getattr(self, field.name), int | float)
            and value <= 0
        ]
        if self.soft_time_limit >= self.time_limit:
            problems.append("soft_time_limit must be shorter than time_limit")
        if not 0 <= self.cleanup_hour <= 23:
            problems.append("cleanup_hour must be between 0 and 23")
        if problems:
            raise ValueError("; ".join(problems))


def build_settings(values: Mapping[str, Any]) -> WorkerSettings:
    """Build the settings; raises ``ValueError`` for an unknown key, a wrong type or a contradiction."""
    known = {field.name for field in fields(WorkerSettings)}
    if unknown := sorted(set(values) - known):
        raise ValueError(f"unknown key(s): {', '.join(unknown)}; known are: {', '.join(sorted(known))}")
    defaults = WorkerSettings()
    return WorkerSettings(**{name: _coerced(name, value, getattr(defaults, name)) for name, value in values.items()})


def _coerced(name: str, value: Any, default: Any) -> Any:
    if isinstance(default, tuple) and isinstance(value, list):
        return tuple(value)
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise ValueError(f"{name} must be {type(default).__name__}, not {type(value).__name__}")
    return value


@functools.cache
def get_settings() -> WorkerSettings:
    """Return the project's settings; built once (``get_settings.cache_clear()`` after a change in tests)."""
    from django.conf import settings

    return build_settings(getattr(settings, "WORKER", {}))
