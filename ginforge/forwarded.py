"""Who a request really comes from: ``X-Forwarded-For`` and ``-Proto`` count only when a configured proxy sent them.

Done once, on the ASGI scope, before anything looks at it: limits, throttles, lock-outs, logs and the audit all see the
same address, and no later layer has to know about proxies. Servers' own switches (Daphne's ``--proxy-headers``) trust
whoever connects, and take the first address of the header, which the client itself may have written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final

PRIVATE_NETWORKS: Final = (
    "127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"
)  # fmt: skip
"""What ``TRUST_PROXY=1`` means: a proxy on this machine or in a private network."""

_SECURE: Final = {"http": "https", "websocket": "wss"}
_PLAIN: Final = {"http": "http", "websocket": "ws"}
_MAX_HOPS: Final = 20

Address = IPv4Address | IPv6Address


def parse_proxies(value: str) -> tuple[str, ...]:
    """Read ``TRUST_PROXY``: nothing or 0, 1, or addresses and networks of the proxies, comma-separated.

    Raises ``ValueError`` for anything else.
    """
    if value.strip().lower() in ("", "0", "false", "no", "off"):
        return ()
    if value.strip().lower() in ("1", "true", "yes", "on"):
        return PRIVATE_NETWORKS
    return tuple(str(ip_network(part.strip())) for part in value.split(","))


@dataclass(frozen=True, slots=True)
class ProxyRules:
    """The proxies whose word is taken."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    @classmethod
    def of(cls, networks: Iterable[str]) -> ProxyRules:
        """Build the rules from networks as text."""
        return cls(tuple(ip_network(network) for network in networks))

    def trusts(self, host: str) -> bool:
        """Tell whether a peer is one of the proxies."""
        address = _address(host)
        return address is not None and any(address in network for network in self.networks)

    def apply(self, scope: dict[str, Any]) -> None:
        """Put the real client and scheme into an ASGI scope that came through a proxy; leave all others as they are."""
        peer = scope.get("client")
        if not self.networks or (peer is not None and not self.trusts(str(peer[0]))):
            return
        headers = _forwarded(scope.get("headers") or ())
        if client := self._client(headers.get(b"x-forwarded-for", "")):
            scope["client"] = [client, 0]
        scheme = headers.get(b"x-forwarded-proto", "").rpartition(",")[2].strip().lower()
        if scheme in ("https", "wss"):
            scope["scheme"] = _SECURE[scope["type"]]
        elif scheme in ("http", "ws"):
            scope["scheme"] = _PLAIN[scope["type"]]

    def _client(self, value: str) -> str | None:
        """Return the last address that no proxy of ours stands behind: what is left of it is the client's own word."""
        found: str | None = None
        for hop in reversed(value.split(",")[-_MAX_HOPS:]):
            address = _address(hop.strip())
            if address is None:
                break
            found = str(address)
            if not self.trusts(found):
                break
        return found


def _forwarded(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[bytes, str]:
    """Return the forwarding headers; of a repeated one the lines are joined, as RFC 9110 section 5.3 has it."""
    found: dict[bytes, str] = {}
    for name, value in headers:
        if name.startswith(b"x-forwarded-"):
            text = value.decode("latin-1")
            found[name] = f"{found[name]},{text}" if name in found else text
    return found


def _address(text: str) -> Address | None:
    """Parse an address, also as proxies write it: ``[::1]:443``, ``192.0.2.1:1234``, mapped IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
