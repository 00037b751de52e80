"""Prometheus metrics of the proxy; labels are routes and instances, which the settings bound."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

requests: Final = Counter("proxy_requests_total", "Proxied requests by answer", ["route", "status"])
"""``status`` is the answer's code; ``0``: the client went away first."""
seconds: Final = Histogram(
    "proxy_first_byte_seconds",
    "From the request to the head of the upstream's answer",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
failures: Final = Counter("proxy_upstream_failures_total", "Failed tries by kind", ["route", "instance", "kind"])
retries: Final = Counter("proxy_retries_total", "Requests tried on another instance", ["route"])
refused: Final = Counter("proxy_refused_total", "Requests the proxy answered itself, by code", ["route", "code"])
in_flight: Final = Gauge(
    "proxy_in_flight", "Requests under way on an instance", ["route", "instance"], multiprocess_mode="livesum"
)
breaker: Final = Gauge(
    "proxy_breaker_state",
    "Circuit of an instance: 0 closed, 1 half-open, 2 open",
    ["route", "instance"],
    multiprocess_mode="livemax",
)
healthy: Final = Gauge(
    "proxy_instance_healthy",
    "Whether the active checks find an instance alive",
    ["route", "instance"],
    multiprocess_mode="livemin",
)
websockets: Final = Gauge("proxy_websockets", "Proxied WebSockets", ["route"], multiprocess_mode="livesum")
