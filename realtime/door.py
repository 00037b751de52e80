"""How many sockets this process holds, in all and per client address; counted before anybody is asked for a token."""

from __future__ import annotations

import functools
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from realtime.codes import LimitReached
from realtime.conf import RealtimeSettings


class Door:
    """Counts the sockets that came in and have not left."""

    def __init__(self, conf: RealtimeSettings) -> None:
        self.sockets = 0
        self._limit = conf.max_connections
        self._per_address = conf.max_address_connections
        networks = tuple(ip_network(network) for network in conf.unlimited_networks)
        self._unlimited = functools.lru_cache(maxsize=4096)(functools.partial(_lies_in, networks))
        self._addresses: dict[str, int] = {}

    @property
    def full(self) -> bool:
        """Whether one more socket would be one too many."""
        return 0 < self._limit <= self.sockets

    def enter(self, host: str) -> str:
        """Count a socket from an IP address; returns the name to leave by. Raises ``LimitReached``."""
        if self.full:
            raise LimitReached("connections")
        if not self._per_address or self._unlimited(host):
            host = ""
        else:
            count = self._addresses.get(host, 0)
            if count >= self._per_address:
                raise LimitReached("address_connections")
            self._addresses[host] = count + 1
        self.sockets += 1
        return host

    def leave(self, name: str) -> None:
        """Take back what ``enter`` counted."""
        self.sockets -= 1
        if name:
            left = self._addresses[name] - 1
            if left:
                self._addresses[name] = left
            else:
                del self._addresses[name]


def _lies_in(networks: tuple[IPv4Network | IPv6Network, ...], host: str) -> bool:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return not host  # no address at all: a Unix socket, which is a proxy's
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)
