"""Counters of all workers, kept together in Redis: children, workers and restarts need no port of their own."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final

import prometheus_client
from django.db import DatabaseError
from django.db.models import Count
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from ginforge.worker import heartbeat
from ginforge.worker.broker import QUEUE_KEY, UNACKED_KEY
from ginforge.worker.models import Job
from realtime.blocking_redis import redis_or_unavailable
from realtime.codes import Unavailable

logger = logging.getLogger(__name__)

_COUNTS: Final = "ginforge:{worker}:counts"
"""Hash: ``<task>|<outcome>`` → jobs, ``<task>|<bucket>|le`` → runs, ``<task>|sum`` → seconds."""
BUCKETS: Final = (0.05, 0.25, 1.0, 5.0, 30.0, 120.0, 300.0)


class Outcome(StrEnum):
    """What became of one delivery of a job."""

    DONE = "done"
    RETRIED = "retried"
    DEAD = "dead"
    DUPLICATE = "duplicate"


def record(task: str, outcome: Outcome, seconds: float | None = None) -> None:
    """Count one delivery, with its running time in seconds when it ran; never raises."""
    try:
        with redis_or_unavailable("metrics were not written") as redis, redis.pipeline(transaction=False) as pipe:
            pipe.hincrby(_COUNTS, f"{task}|{outcome}", 1)
            if seconds is not None:
                bucket = next((str(limit) for limit in BUCKETS if seconds <= limit), "+Inf")
                pipe.hincrby(_COUNTS, f"{task}|{bucket}|le", 1)
                pipe.hincrbyfloat(_COUNTS, f"{task}|sum", seconds)
            pipe.execute()
    except Unavailable as error:
        logger.warning("%s", error)


def serve(host: str, port: int) -> None:
    """Serve ``/metrics`` from a thread; 0 means not. A port that is taken is logged."""
    if not port:
        return
    registry = CollectorRegistry()
    registry.register(WorkerCollector())
    try:
        prometheus_client.start_http_server(port, host, registry=registry)
    except OSError as error:
        logger.error("metrics are not served on %s:%s: %s", host, port, error)  # noqa: TRY400  # the reason is enough


class WorkerCollector(Collector):
    """Everything about jobs, of all workers together: scrape one of them."""

    def describe(self) -> Iterable[Metric]:
        """Nothing: a look at Redis at registration helps nobody."""
        return []

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics."""
        try:
            with redis_or_unavailable("metrics cannot be read") as redis:
                waiting, held, raw = redis.llen(QUEUE_KEY), redis.hlen(UNACKED_KEY), redis.hgetall(_COUNTS)
                beats = len(list(redis.scan_iter(heartbeat.PATTERN, count=1000)))
        except Unavailable:
            yield GaugeMetricFamily("worker_redis_up", "Whether Redis answers", value=0)
            return
        yield GaugeMetricFamily("worker_redis_up", "Whether Redis answers", value=1)
        yield GaugeMetricFamily("worker_processes_alive", "Workers and beats with a heartbeat", value=beats)
        yield GaugeMetricFamily("worker_queue_length", "Messages that no worker has taken", value=waiting)
        yield GaugeMetricFamily("worker_queue_held", "Messages that workers hold", value=held)
        yield from _counted({name.decode(): float(value) for name, value in raw.items()})
        yield from _states()


def _counted(counts: dict[str, float]) -> Iterable[Metric]:
    outcomes = CounterMetricFamily("worker_jobs", "Deliveries of jobs by outcome", labels=["task", "outcome"])
    runtimes = HistogramMetricFamily("worker_job_seconds", "Running time of jobs", labels=["task"])
    for name, value in sorted(counts.items()):
        task, _, rest = name.rpartition("|")
        if rest in list(Outcome):
            outcomes.add_metric([task, rest], value)
        elif rest == "sum":
            runtimes.add_metric([task], _buckets(task, counts), value)
    yield outcomes
    yield runtimes


def _buckets(task: str, counts: dict[str, float]) -> list[tuple[str, float]]:
    total, buckets = 0.0, []
    for limit in (*map(str, BUCKETS), "+Inf"):
        total += counts.get(f"{task}|{limit}|le", 0.0)
        buckets.append((limit, total))
    return buckets


def _states() -> Iterable[Metric]:
    gauge = GaugeMetricFamily("worker_jobs_stored", "Jobs in the table by state", labels=["state"])
    found: dict[str, Any] = {}
    try:
        found = dict(Job.objects.order_by().values_list("state").annotate(Count("pk")))
    except DatabaseError as error:
        logger.warning("jobs cannot be counted: %s", error)
        return
    for state in Job.State.values:
        gauge.add_metric([state], found.get(state, 0))
    yield gauge
