"""Everything tunable about the gateway: one frozen dataclass, read from ``settings.REALTIME``."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_network
from typing import Any, Literal

Audience = Literal["everyone", "staff", "nobody"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RealtimeSettings:
    """Settings of the gateway with their defaults; times in seconds and sizes in bytes unless said."""

    # Protocol
    max_message_size: int = 524_288
    """Largest frame or message a client may send."""
    max_payload_size: int = 1_048_576
    """Largest payload accepted from Redis."""
    max_name_length: int = 512
    """Longest user id or room name, in Unicode characters."""
    max_nesting: int = 64
    """Deepest JSON nesting of an inbound message."""
    max_values: int = 10_000
    """Most values (list items, object members) in an inbound message; refused with 413."""
    heartbeat: int = 20
    """Interval of protocol pings; told to the client in ``welcome``."""
    heartbeat_timeout: int = 60
    """A peer silent for this long is cut with 4408."""

    # Limits
    message_rate: float = 50.0
    """Inbound messages a second per connection."""
    message_burst: float = 100.0
    byte_rate: float = 1_048_576.0
    """Inbound bytes a second per connection."""
    byte_burst: float = 4_194_304.0
    frame_rate: int = 300
    """Control frames and fragments a second per connection; beyond it the connection is closed with 4429."""
    rate_strikes: int = 500
    """So many refused messages in a row close the connection with 4429; an accepted one makes up for a refused one."""
    max_rooms: int = 100
    """Rooms one connection may be in."""
    max_user_connections: int = 50
    """Connections of one user in the cluster; 0 means no limit."""
    on_too_many: Literal["reject", "replace"] = "reject"
    """With too many connections of one user: refuse the new one, or close the oldest with 4409."""
    max_address_connections: int = 1000
    """Connections of one client address per process; over it the upgrade is refused with 429. 0 means no limit."""
    unlimited_networks: tuple[str, ...] = (
        "127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"
    )  # fmt: skip
    """Networks that ``max_address_connections`` does not count: proxies speak for many clients from one address."""
    max_connections: int = 50_000
    """Connections per process; over it the upgrade is refused with 503. 0 means no limit."""
    max_pending_handshakes: int = 10_000
    """Connections per process that may be without a complete request; of more the oldest is cut."""
    handshake_timeout: int = 20
    """Seconds for a connection's first request to come."""
    max_header_size: int = 32_768
    """Largest request head; larger ones are refused with 431."""
    max_inbound_queue: int = 64
    """Messages of one connection that may wait behind a slow one before reading pauses."""
    write_limit: int = 1_048_576
    """Bytes buffered for one client before it is cut with 1013."""

    # Access
    room_policy: str = "realtime.rooms.RoomPolicy"
    """Dotted path of the class that decides who may join and send where."""
    room_permissions: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    """Pattern of rooms → dotted paths of permission classes (``realtime.permissions``), all of which must agree."""
    room_policy_recheck: float = 1.0
    """How often live memberships are held against a policy that can change; 0 switches it off."""
    expiry_warning: int = 60
    """A client is told so long before its token expires; 0 switches the warning off."""
    allow_query_token: bool = True
    """Accept ``?token=``; it is convenient, but proxies in front may log it."""
    fail_open_revocation: bool = False
    """Let connections in while revocations cannot be read from Redis."""

    # Presence
    presence_audience: Audience = "everyone"
    presence_grace: float = 3.0
    """A user is offline this long after the last device has gone."""
    presence_budget: int = 50
    """Single ``user_status`` events a second in the cluster, before they give way to one summary a second."""
    presence_deliveries: int = 20_000
    """The same budget in frames a second: with many clients connected, single events give way sooner."""
    lease: float = 10.0
    """A gateway process that did not renew for this long counts as dead."""

    # Streams
    history_size: int = 1000
    """Messages kept per stream."""
    history_bytes: int = 8_388_608
    """About as many bytes are kept per stream; large messages shorten the history."""
    history_ttl: int = 600
    """A stream's history expires this long after its last message."""
    position_ttl: int = 86_400
    """A stream's epoch and offset expire this long after their last use."""
    idempotency_window: int = 300
    """The same message id on the same stream within this time is delivered once."""
    trust_persistence: bool = False
    """Keep epochs over a Redis restart; only right with ``appendonly yes``."""
    top_check_interval: float = 5.0
    """How often streams are compared with their top in Redis, so that a silent loss is found."""

    # Offline messages
    offline_types: tuple[str, ...] = ("notification", "chat")
    offline_flush: float = 0.2
    """Offline messages are written to the database in batches at least this often."""

    # Redis
    redis_connect_timeout: float = 2.0
    redis_timeout: float = 5.0
    """A command that took longer counts as failed."""

    # Bridge
    bridge_lease: float = 2.0
    dead_letter_limit: int = 10_000
    dead_letter_payload: int = 65_536
    ingress_limit: int = 1_000_000
    """Entries kept in the durable ingress stream (approximately)."""
    ingress_tries: int = 5
    """Deliveries of one durable message before it goes to the dead letters."""

    # HTTP
    public_stats: bool = True
    public_metrics: bool = True
    public_health: bool = True

    # Audit
    audit_days: int = 90
    """Audit events are kept so long in the database."""
    audit_limit: int = 200_000
    """And no more than so many."""

    def __post_init__(self) -> None:
        problems = [*_contradictions(self), *_malformed(self)]
        if problems:
            raise ValueError("; ".join(problems))


def _contradictions(conf: RealtimeSettings) -> list[str]:
    problems = []
    for field in fields(conf):
        value = getattr(conf, field.name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
            problems.append(f"{field.name} must not be negative")
    if conf.heartbeat_timeout <= conf.heartbeat:
        problems.append("heartbeat_timeout must be longer than heartbeat")
    if conf.max_message_size > conf.max_payload_size:
        problems.append("max_message_size must not be larger than max_payload_size")
    if conf.message_burst < 1 or conf.message_rate <= 0:
        problems.append("message_rate must be above 0 and message_burst at least 1")
    if conf.history_size < 1:
        problems.append("history_size must be at least 1")
    if conf.position_ttl < conf.history_ttl:
        problems.append("position_ttl must not be shorter than history_ttl")
    if conf.presence_audience not in ("everyone", "staff", "nobody"):
        problems.append("presence_audience must be everyone, staff or nobody")
    if conf.on_too_many not in ("reject", "replace"):
        problems.append("on_too_many must be reject or replace")
    if conf.max_header_size < 1024 or conf.handshake_timeout < 1 or conf.max_pending_handshakes < 1:
        problems.append("max_header_size must be at least 1024, handshake_timeout, max_pending_handshakes at least 1")
    return problems


def _malformed(conf: RealtimeSettings) -> list[str]:
    problems: list[str] = []
    for network in conf.unlimited_networks:
        try:
            ip_network(network)
        except ValueError:
            problems.append(f"unlimited_networks: {network!r} is not a network such as 10.0.0.0/8")
    for pattern, classes in conf.room_permissions.items():
        if not classes or not isinstance(classes, list):
            problems.append(f"room_permissions[{pattern!r}] must be a list of dotted paths")
    return problems


def build_settings(values: Mapping[str, Any]) -> RealtimeSettings:
    """Build the settings from a mapping with lower-case keys.

    Raises ``ValueError`` naming every unknown key, wrong type and contradiction.
    """
    known = {field.name: field for field in fields(RealtimeSettings)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"unknown key(s): {', '.join(unknown)}; known are: {', '.join(sorted(known))}")
    defaults = RealtimeSettings()
    clean: dict[str, Any] = {}
    for name, value in values.items():
        clean[name] = _coerced(name, value, getattr(defaults, name))
    return RealtimeSettings(**clean)


def _coerced(name: str, value: Any, default: Any) -> Any:
    if isinstance(default, tuple) and isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise ValueError(f"{name} must be {type(default).__name__}, not {type(value).__name__}")
    return value


@functools.cache
def get_settings() -> RealtimeSettings:
    """Return the project's settings; built once (``get_settings.cache_clear()`` after a change in tests)."""
    from django.conf import settings

    return build_settings(getattr(settings, "REALTIME", {}))
