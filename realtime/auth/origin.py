"""Which pages may open a WebSocket: the check of the Origin header before the upgrade (RFC 6454, DESIGN 2.2)."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from django.core.signals import setting_changed

_ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?",
    re.IGNORECASE | re.ASCII,
)
_HOST: Final = re.compile(r"(?P<host>[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE | re.ASCII)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """A parsed web origin, in lower case, with the default port of its scheme filled in."""

    scheme: str
    host: str
    port: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRules:
    """Origins that are allowed besides the request's own host."""

    exact: frozenset[Origin] = frozenset()
    subdomains: frozenset[Origin] = frozenset()
    """From entries such as ``https://*.example.com``; ``host`` holds ``.example.com``."""
    anything: bool = False
    """From the entry ``*``: every well-formed origin."""
    loopback: bool = False

    def allow(self, origin: Origin) -> bool:
        """Tell whether a page of ``origin`` may connect."""
        if self.anything or origin in self.exact or (self.loopback and _is_loopback(origin.host)):
            return True
        return any(
            origin.scheme == entry.scheme and origin.port == entry.port and origin.host.endswith(entry.host)
            for entry in self.subdomains
        )


def parse_origin(text: str) -> Origin | None:
    """Parse ``scheme://host[:port]`` and nothing more; ``None`` when it is not that (``null`` is not)."""
    match = _ORIGIN.fullmatch(text)
    if match is None:
        return None
    scheme = match["scheme"].lower()
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS.get(scheme)
    if port is not None and port > 65535:
        return None
    return Origin(scheme, match["host"].lower(), port)


def build_rules(allowed: Iterable[str], *, loopback: bool = False) -> OriginRules:
    """Build the rules from a list of origins; raises ``ValueError`` naming an entry that is none."""
    exact, subdomains, anything = set(), set(), False
    for entry in allowed:
        if entry == "*":
            anything = True
            continue
        wildcard = "://*." in entry
        origin = parse_origin(entry.rstrip("/").replace("://*.", "://", 1) if wildcard else entry.rstrip("/"))
        if origin is None:
            raise ValueError(f"not an origin like https://example.com: {entry!r}")
        if wildcard:
            subdomains.add(Origin(origin.scheme, "." + origin.host, origin.port))
        else:
            exact.add(origin)
    return OriginRules(exact=frozenset(exact), subdomains=frozenset(subdomains), anything=anything, loopback=loopback)


def origin_allowed(scope: Mapping[str, Any], rules: OriginRules | None = None) -> bool:
    """Tell whether the request may be upgraded; never raises, whatever the headers hold.

    No Origin header (not a browser) passes, so does one equal to the request's own Host; a repeated, empty,
    malformed or foreign one is refused. ``rules`` come from the settings when not given.
    """
    headers = scope.get("headers") or ()
    origins = [value for name, value in headers if name == b"origin"]
    if not origins:
        return True
    origin = parse_origin(origins[0].decode("latin-1")) if len(origins) == 1 else None
    if origin is None:
        return False
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) == 1 and _same_host(origin, hosts[0].decode("latin-1")):
        return True
    return (rules or get_rules()).allow(origin)


def _same_host(origin: Origin, host: str) -> bool:
    match = _HOST.fullmatch(host)
    if match is None or origin.scheme not in _DEFAULT_PORTS:
        return False
    port = int(match["port"]) if match["port"] else _DEFAULT_PORTS[origin.scheme]
    return match["host"].lower() == origin.host and port == origin.port


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@functools.cache
def get_rules() -> OriginRules:
    """Return the project's rules from ``ALLOWED_ORIGINS`` and ``DEBUG``; built once."""
    from django.conf import settings

    return build_rules(getattr(settings, "ALLOWED_ORIGINS", ()), loopback=bool(settings.DEBUG))


def _forget_rules(*, setting: str, **_: Any) -> None:
    if setting in {"ALLOWED_ORIGINS", "DEBUG"}:
        get_rules.cache_clear()


setting_changed.connect(_forget_rules, dispatch_uid="realtime.auth.origin")
