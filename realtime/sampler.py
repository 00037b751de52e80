"""Adds this process's counts to the history the admin draws, and tells open overview pages of it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from prometheus_client.registry import Collector

from realtime import metrics, samples
from realtime.groups import room_group
from realtime.protocol import ServerMessage, encode

if TYPE_CHECKING:
    from realtime.hub import Hub

INTERVAL: Final = 5.0
OVERVIEW_ROOM: Final = "admin:overview"


class Sampler:
    """The counters of one process, sample after sample."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._before = read_counters()

    def sample(self) -> None:
        """Add what happened since the last call."""
        now = read_counters()
        amounts = {name: max(0, value - self._before.get(name, 0)) for name, value in now.items()}
        self._before = now
        hub = self._hub
        command = samples.add_command(hub.node, len(hub.connections), amounts, time.time())
        hub.layer.shards[0].link.execute(_ignore, *command)
        content = {"entity": "overview", "action": "changed"}
        text = encode(
            ServerMessage(type="data_update", room=OVERVIEW_ROOM, content=content, timestamp=int(time.time()))
        )
        hub.layer.publish_ephemeral(room_group(OVERVIEW_ROOM), text).add_done_callback(_retrieve)


def read_counters() -> dict[str, int]:
    """Return this process's totals: messages received and sent, errors, and ``l0`` … of ``samples.LATENCY_BUCKETS``."""
    totals = {
        "received": _total([metrics.received.collector]),
        "sent": _total([metrics.sent]),
        "errors": _total([metrics.errors.collector]),
    }
    below = 0
    buckets = [s.value for m in metrics.ingress_latency.collect() for s in m.samples if s.name.endswith("_bucket")]
    for number, cumulated in enumerate(buckets):
        totals[f"l{number}"] = int(cumulated) - below
        below = int(cumulated)
    return totals


def _total(collectors: Iterable[Collector]) -> int:
    found = (sample for c in collectors for metric in c.collect() for sample in metric.samples)
    return int(sum(sample.value for sample in found if sample.name.endswith("_total")))


def _ignore(_: Any) -> None:
    """Take a reply nobody waits for; the next sample comes soon."""


def _retrieve(future: Any) -> None:
    if not future.cancelled():
        future.exception()
