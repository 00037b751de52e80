"""The servers under test, by the name ``--only`` takes."""

from __future__ import annotations

from tests.benchmarks.peers.bare import BareLoop
from tests.benchmarks.peers.base import Peer, PeerMissing, Running, Stage
from tests.benchmarks.peers.nchan import Nchan
from tests.benchmarks.peers.node import NodeWs
from tests.benchmarks.peers.project import Project, ProjectOnUvicorn
from tests.benchmarks.peers.textbook import Textbook

PEERS: dict[str, type[Peer]] = {
    peer.name: peer for peer in (Project, ProjectOnUvicorn, Textbook, NodeWs, Nchan, BareLoop)
}

__all__ = ["PEERS", "Peer", "PeerMissing", "Running", "Stage"]
