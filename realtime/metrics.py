"""Prometheus metrics of the gateway, made so that counting costs next to nothing on the hot path.

Counters are incremented once per batch, never once per delivery; labels come from small fixed sets and their
children are bound once. With ``PROMETHEUS_MULTIPROC_DIR`` set, gauges are summed over the live processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_LATENCY_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MAX_CHILDREN: Final = 50
"""Label values beyond this many become ``other``, so that no client can grow the metrics."""


class CounterFamily:
    """A counter with one label whose values are bounded in number; ``inc`` is a dict lookup and an addition."""

    def __init__(self, name: str, documentation: str, label: str, known: Iterable[str] = ()) -> None:
        self._counter = Counter(name, documentation, [label])
        self._children: dict[str, Counter] = {}
        for value in known:  # shown from the start, as 0, so that a first increase is seen by rate()
            self._bind(value)

    def inc(self, value: str, amount: float = 1) -> None:
        """Add ``amount`` under the label value ``value``."""
        child = self._children.get(value)
        if child is None:
            child = self._bind(value)
        child.inc(amount)

    @property
    def collector(self) -> Counter:
        """The counter behind it, with all its children."""
        return self._counter

    def _bind(self, value: str) -> Counter:
        if len(self._children) >= _MAX_CHILDREN:
            value = "other"
        return self._children.setdefault(value, self._counter.labels(value))


def _gauge(name: str, documentation: str) -> Gauge:
    return Gauge(name, documentation, multiprocess_mode="livesum")


connections: Final = CounterFamily(
    "websocket_connections_total",
    "WebSocket connection attempts by outcome",
    "outcome",
    known=("accepted", "unauthorized", "origin", "limit", "unavailable"),
)

disconnections: Final = CounterFamily("websocket_disconnections_total", "Closed WebSockets by close code", "code")

sent: Final = Counter("websocket_messages_sent_total", "Messages written to sockets, one per recipient")

received: Final = CounterFamily(
    "websocket_messages_received_total",
    "Messages from clients by type",
    "type",
    known=("ping", "chat", "join_room", "leave_room", "room_message", "resume"),
)
"""Call only with registered types; anything else counts as ``unknown``."""

errors: Final = CounterFamily(
    "websocket_errors_total",
    "Errors by kind",
    "kind",
    known=("400", "401", "403", "413", "422", "429", "503", "slow_consumer", "redis", "handler"),
)
"""An error frame's code as text (``400``), or ``slow_consumer``, ``handler``, ``redis``, ``token_<reason>`` …"""

limits: Final = CounterFamily(
    "websocket_limit_hits_total",
    "Refusals and cuts by the limit that was reached",
    "limit",
    known=(
        "connections", "user_connections", "address_connections", "pending_handshakes", "header_size", "header_time",
        "request_body", "message_rate", "byte_rate", "frame_rate", "rate_strikes", "message_size", "payload_size",
        "rooms", "nesting", "values", "name_length", "id_length", "inbound_queue", "write_buffer",
    ),
)  # fmt: skip

live_connections: Final = _gauge("websocket_connections_live", "WebSockets open now in this process")
live_users: Final = _gauge("websocket_users_live", "Users with a WebSocket in this process")
live_rooms: Final = _gauge("websocket_rooms_live", "Rooms with a member in this process")
buffered_bytes: Final = _gauge("websocket_buffered_bytes", "Bytes waiting in this process for slow clients")

ingress_latency: Final = Histogram(
    "websocket_ingress_to_socket_seconds",
    "From the publication of a message in the gateway to its last local socket",
    buckets=_LATENCY_BUCKETS,
)
fanout_time: Final = Histogram(
    "websocket_fanout_seconds", "Time to write one message to all its local recipients", buckets=_LATENCY_BUCKETS
)

bridge_messages: Final = CounterFamily("websocket_bridge_messages_total", "Ingress messages by outcome", "outcome")
bridge_lag: Final = _gauge("websocket_bridge_lag_seconds", "Age of the ingress message a bridge handles now")
ingress_backlog: Final = _gauge("websocket_ingress_backlog", "Entries of the durable ingress not yet delivered")
offline_messages: Final = CounterFamily(
    "websocket_offline_messages_total", "Messages for users without a connection by outcome", "outcome"
)
"""``stored``, ``retried``, ``lost``."""
dead_letters: Final = CounterFamily("websocket_dead_letters_total", "Refused ingress messages by reason", "reason")
