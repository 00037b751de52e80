"""The instances as a gateway process sees them, for metrics and for people."""

from __future__ import annotations

import msgspec

from ginforge.proxy import metrics
from ginforge.proxy.balance import Instance


class InstanceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of a service at one moment."""

    route: str
    instance: str
    weight: int
    healthy: bool
    breaker: str
    """``closed``, ``half_open`` or ``open``."""
    in_flight: int
    requests: int
    failures: int
    last_error: str


def describe(route: str, instance: Instance) -> InstanceStatus:
    """Return the state of an instance."""
    return InstanceStatus(
        route=route,
        instance=instance.target.label,
        weight=instance.target.weight,
        healthy=instance.healthy,
        breaker=instance.breaker.state.name.lower(),
        in_flight=instance.in_flight,
        requests=instance.requests,
        failures=instance.failures,
        last_error=instance.last_error,
    )


def measure(route: str, instance: Instance) -> None:
    """Write the state of an instance to the gauges."""
    labels = (route, instance.target.label)
    metrics.breaker.labels(*labels).set(instance.breaker.state)
    metrics.healthy.labels(*labels).set(instance.healthy)
