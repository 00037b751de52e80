"""What ``/metrics`` shows: this node's processes together, and the cluster as Redis knows it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import prometheus_client
from prometheus_client import CollectorRegistry, multiprocess
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from realtime import dead_letters
from realtime.cluster import get_cluster
from realtime.codes import Unavailable

CONTENT_TYPE: Final = prometheus_client.CONTENT_TYPE_LATEST
_BRIDGE_SILENCE: Final = 10.0
"""A bridge that did not report for this many seconds is not shown."""


def render() -> bytes:
    """Return the metrics in Prometheus' text format; blocks for a few Redis round trips."""
    return b"".join(prometheus_client.generate_latest(registry) for registry in _registries())


def _registries() -> Iterator[CollectorRegistry]:
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        processes = CollectorRegistry()
        multiprocess.MultiProcessCollector(processes)  # type: ignore[no-untyped-call]  # prometheus_client's own
        yield processes
    else:
        yield prometheus_client.REGISTRY
    cluster = CollectorRegistry()
    cluster.register(ClusterCollector())
    yield cluster


class ClusterCollector(Collector):
    """Gauges of the whole cluster, read at the scrape; without Redis only ``websocket_redis_up 0``."""

    def collect(self) -> Iterable[Metric]:
        """Yield the gauges."""
        try:
            stats, letters, bridges = get_cluster().stats(), dead_letters.count(), _live_bridges()
        except Unavailable:
            yield _gauge("websocket_redis_up", "Whether Redis answers", 0)
            return
        yield _gauge("websocket_redis_up", "Whether Redis answers", 1)
        yield _gauge("websocket_cluster_connections", "WebSockets open in the cluster", stats.total_clients)
        yield _gauge("websocket_cluster_users", "Users online in the cluster", stats.online_users)
        yield _gauge("websocket_cluster_rooms", "Rooms with a member in the cluster", stats.total_rooms)
        yield _gauge("websocket_dead_letters_stored", "Dead letters kept in Redis", letters)
        yield _per_bridge("websocket_cluster_bridge_up", "Bridges that report, by role", bridges, lambda _: 1)
        yield _per_bridge(
            "websocket_cluster_bridge_lag_seconds",
            "Age of the message a bridge handles",
            bridges,
            lambda bridge: float(bridge.get("lag", 0)),
        )


def _live_bridges() -> list[dict[str, Any]]:
    return [bridge for bridge in get_cluster().bridges() if time.time() - float(bridge.get("at", 0)) < _BRIDGE_SILENCE]


def _per_bridge(
    name: str, documentation: str, bridges: Iterable[dict[str, Any]], value: Callable[[dict[str, Any]], float]
) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=["bridge", "role"])
    for bridge in bridges:
        family.add_metric([str(bridge.get("id", "")), str(bridge.get("role", ""))], value(bridge))
    return family


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)
