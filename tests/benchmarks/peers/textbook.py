"""The Channels tutorial's way, on stock Daphne."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.metadata import version

from ginforge.embedded import LOOPBACK, EmbeddedValkey
from tests.benchmarks.peers.base import JWT_KEY, Peer, Route, Running, Stage, local_port, serving
from tests.benchmarks.peers.bridging import subscribed
from tests.benchmarks.processes import Server


class Textbook(Peer):
    """``AsyncJsonWebsocketConsumer``, a group membership per connection, the stock Redis pub/sub layer."""

    name = "textbook"
    label = "Textbook Channels on Daphne"
    note = "a group membership per connection as in the Channels tutorial, stock pub/sub layer, JWT checked at connect"

    def versions(self, stage: Stage) -> dict[str, str]:
        """Return the versions of Daphne, Channels and channels-redis."""
        return {name: version(name) for name in ("daphne", "channels", "channels-redis")}

    @contextlib.contextmanager
    def start(self, stage: Stage) -> Iterator[Running]:
        """Run Daphne and the textbook's bridge."""
        port = local_port()
        application = "tests.benchmarks.servers.textbook:application"
        command = [sys.executable, "-m", "daphne", "-b", LOOPBACK, "-p", str(port), "--access-log", "/dev/null"]
        with EmbeddedValkey() as valkey:
            env = {"BENCH_REDIS_URL": valkey.url, "BENCH_JWT_KEY": JWT_KEY}
            bridge_command = [sys.executable, "-m", "tests.benchmarks.servers.textbook_bridge"]
            with (
                serving([*command, application], stage=stage, name=self.name, port=port, env=env) as server,
                Server(bridge_command, log=stage.log("textbook-bridge"), env=env) as bridge,
            ):
                bridge.wait_until(lambda: subscribed(valkey.url))
                url = f"ws://{LOOPBACK}:{port}/ws"
                route = Route(url=url, user_url=url, room_url=url, publish=valkey.url, token_key=JWT_KEY)
                yield Running(server, route, valkey, bridge)
