"""The loop that does nothing but write."""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Iterator

from ginforge.embedded import LOOPBACK, EmbeddedValkey
from tests.benchmarks.peers.base import Peer, Route, Running, Stage, local_port, serving


class BareLoop(Peer):
    """One ``write`` per connection: the most that a single thread can do here."""

    name = "bare"
    label = "Bare write loop (the limit)"
    note = "accepts, then only writes: no token, no pings, next to no memory; only its deliveries count"
    lacks = frozenset({"unicast", "rooms", "bridge", "slow_reader"})

    def versions(self, stage: Stage) -> dict[str, str]:
        """Return the version of Python."""
        return {"python": platform.python_version()}

    @contextlib.contextmanager
    def start(self, stage: Stage) -> Iterator[Running]:
        """Run the loop."""
        port = local_port()
        command = [sys.executable, "-m", "tests.benchmarks.servers.bare_loop", str(port)]
        with EmbeddedValkey() as valkey:
            env = {"BENCH_REDIS_URL": valkey.url}
            with serving(command, stage=stage, name=self.name, port=port, env=env) as server:
                url = f"ws://{LOOPBACK}:{port}/ws"
                yield Running(server, Route(url=url, user_url=url, room_url=url, publish=valkey.url), valkey)
