"""Everything that can be set about the proxy: ``settings.UPSTREAMS`` and ``settings.PROXY`` as frozen dataclasses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final
from urllib.parse import urlsplit

from limits import parse

SEGMENTS: Final = {"user": "user", "merchant": "merchant", "admin": "admin", "files": "file"}
"""First path segment after ``/api/v1/`` → name of the list in ``settings.UPSTREAMS``."""
PREFIX: Final = "/api/v1/"
AUTH: Final = ("none", "optional", "required", "staff")
_INSTANCE: Final = re.compile(r"(?P<url>.+?)(?:=(?P<weight>[0-9]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteSettings:
    """What may differ between routes; times in seconds, sizes in bytes, 0 for no limit."""

    auth: str = "none"
    """``none``: tokens are the service's business; ``optional``: a token that is there must be good; ``required``;
    ``staff``: required, with the claim ``is_staff``."""
    client_rate: str = "6000/minute"
    """Requests of one client (user where a token was verified, else address), as ``limits`` writes it; empty: none."""
    rate: str = ""
    """Requests of all clients together."""
    max_body: int = 100 << 20
    connect_timeout: float = 0.5
    """For one instance; all tries together get ``ProxySettings.connect_budget``."""
    first_byte_timeout: float = 30.0
    """From the last byte of the request to the head of the answer."""
    idle_timeout: float = 60.0
    """Between two parts of an answer."""
    total_timeout: float = 600.0
    websocket: bool = True
    preserve_host: bool = False
    """Send the client's Host; otherwise the instance's, with the client's in X-Forwarded-Host."""
    health_path: str = "/healthz"
    """Asked every ``health_interval``; any answer below 500 is a sign of life. Empty: not asked."""


@dataclass(frozen=True, slots=True)
class Target:
    """One instance of a service."""

    url: str
    """Base URL without a slash at its end."""
    weight: int = 1

    @property
    def label(self) -> str:
        """Host and port: the name in metrics and logs."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One service: its path segment, its instances and its settings."""

    name: str
    targets: tuple[Target, ...]
    settings: RouteSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """The whole proxy."""

    routes: Mapping[str, Route] = field(default_factory=dict)
    connect_budget: float = 0.8
    """Seconds to find an instance that takes the connection; with it, dead upstreams are told within a second."""
    max_attempts: int = 3
    """Instances that one request may be tried on."""
    max_requests: int = 1000
    """Requests under way on one instance; more are refused with 503."""
    keepalive: float = 4.0
    """Seconds an idle connection is kept; less than the services keep it (Node: 5)."""
    breaker_failures: int = 5
    """Failures in a row that open an instance's circuit."""
    breaker_seconds: float = 10.0
    """How long it stays open until one request may try."""
    health_interval: float = 5.0
    health_timeout: float = 2.0
    health_failures: int = 2
    """Failed health checks in a row that take an instance out; one good one brings it back."""
    max_message: int = 1 << 20
    """Bytes of a WebSocket message from an upstream."""


def parse_target(text: str) -> Target:
    """Parse ``http://host:port[/base][=weight]``; raises ``ValueError``."""
    match = _INSTANCE.fullmatch(text.strip())
    url = match["url"].rstrip("/") if match else ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise ValueError(f"not a base URL like http://10.0.0.1:8081 or http://10.0.0.1:8081=3: {text!r}")
    if parts.port is not None and not 0 < parts.port < 65536:
        raise ValueError(f"not a port: {text!r}")
    weight = int(match["weight"] or 1) if match else 1
    if not 1 <= weight <= 1000:
        raise ValueError(f"a weight is 1 to 1000: {text!r}")
    return Target(url, weight)


def build_settings(options: Mapping[str, Any], upstreams: Mapping[str, Iterable[str]]) -> ProxySettings:
    """Build the settings from ``settings.PROXY`` and ``settings.UPSTREAMS``.

    Raises ``ValueError`` that names the key and says what is allowed.
    """
    general = {name: value for name, value in options.items() if name in _ROUTE_FIELDS}
    own = {name: value for name, value in options.items() if name not in _ROUTE_FIELDS and name != "routes"}
    special = options.get("routes", {})
    _known("routes", special, SEGMENTS)
    _known("PROXY", own, _OWN_FIELDS)
    defaults = _route_settings(RouteSettings(), general, "")
    routes = {
        segment: Route(
            name=segment,
            targets=tuple(map(parse_target, upstreams.get(name, ()))),
            settings=_route_settings(defaults, special.get(segment, {}), f"routes.{segment}."),
        )
        for segment, name in SEGMENTS.items()
    }
    _check_types(ProxySettings(), own, "")
    settings = replace(ProxySettings(routes=routes), **own)
    _check_own(settings)
    return settings


_ROUTE_FIELDS: Final = frozenset(item.name for item in fields(RouteSettings))
_OWN_FIELDS: Final = frozenset(item.name for item in fields(ProxySettings)) - {"routes"}


def _known(where: str, given: Mapping[str, Any], allowed: Iterable[str]) -> None:
    if unknown := sorted(set(given) - set(allowed)):
        raise ValueError(f"{where}: unknown {', '.join(unknown)}; known are {', '.join(sorted(allowed))}")


def _check_types(defaults: Any, given: Mapping[str, Any], where: str) -> None:
    for name, value in given.items():
        wanted = type(getattr(defaults, name))
        good = (int, float) if wanted is float else wanted
        if not isinstance(value, good) or (wanted is not bool and isinstance(value, bool)):
            raise ValueError(f"{where}{name}: {value!r} is not a {wanted.__name__}")
        if wanted in (int, float) and value < 0:
            raise ValueError(f"{where}{name}: {value!r} is negative")


def _route_settings(defaults: RouteSettings, given: Mapping[str, Any], where: str) -> RouteSettings:
    _known(f"{where or 'PROXY'}", given, _ROUTE_FIELDS)
    _check_types(defaults, given, where)
    settings = replace(defaults, **given)
    if settings.auth not in AUTH:
        raise ValueError(f"{where}auth: {settings.auth!r} is none of {', '.join(AUTH)}")
    for name in ("client_rate", "rate"):
        _check_rate(f"{where}{name}", getattr(settings, name))
    for name in ("connect_timeout", "first_byte_timeout", "idle_timeout"):
        if not getattr(settings, name):
            raise ValueError(f"{where}{name} must be more than 0")
    if settings.health_path and not settings.health_path.startswith("/"):
        raise ValueError(f"{where}health_path: {settings.health_path!r} does not begin with a slash")
    if 0 < settings.total_timeout < settings.first_byte_timeout:
        raise ValueError(f"{where}total_timeout is shorter than first_byte_timeout")
    return settings


def _check_rate(name: str, text: str) -> None:
    if text:
        try:
            parse(text)
        except ValueError as error:
            raise ValueError(f"{name}: {text!r} is not a rate like 100/minute") from error


def _check_own(settings: ProxySettings) -> None:
    for name in ("connect_budget", "max_attempts", "max_requests", "breaker_failures", "breaker_seconds"):
        if not getattr(settings, name):
            raise ValueError(f"{name} must be more than 0")
    for name in ("health_interval", "health_timeout", "health_failures", "max_message"):
        if not getattr(settings, name):
            raise ValueError(f"{name} must be more than 0")
