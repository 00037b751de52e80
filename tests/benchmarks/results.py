"""The results of a run, as JSON and back."""

from __future__ import annotations

from pathlib import Path

import msgspec


class PeerResult(msgspec.Struct):
    """Figures of one peer in base units (seconds, bytes, shares); ``metrics.METRICS`` names them."""

    label: str
    note: str = ""
    versions: dict[str, str] = {}
    figures: dict[str, float] = {}
    growth: dict[int, dict[str, float]] = {}
    """By number of connections: ``connect_cpu``, ``broadcast_cpu``, ``rss``."""
    missing: str = ""
    failure: str = ""


class Results(msgspec.Struct, kw_only=True):
    """One run."""

    date: str
    command: str
    connections: int
    quick: bool
    machine: dict[str, str]
    python: str
    peers: dict[str, PeerResult] = {}

    @property
    def measured(self) -> dict[str, PeerResult]:
        """Peers with figures."""
        return {name: peer for name, peer in self.peers.items() if peer.figures}

    def save(self, path: Path) -> None:
        """Write JSON."""
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what ``save`` wrote."""
        return msgspec.json.decode(path.read_bytes(), type=cls)
