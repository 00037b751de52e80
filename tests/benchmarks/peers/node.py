"""Node and the npm package ``ws``."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ginforge.embedded import LOOPBACK, EmbeddedValkey
from tests.benchmarks.peers.base import JWT_KEY, Peer, PeerMissing, Route, Running, Stage, local_port, serving
from tests.benchmarks.peers.bridging import subscribed

_PROGRAM = Path(__file__).parent.parent / "servers" / "node_ws.mjs"
_PACKAGES = ("ws@8", "redis@>=5")


class NodeWs(Peer):
    """``ws`` with a Redis subscriber in the same process: no bridge, no channel layer, one process only."""

    name = "node"
    label = "Node ws"
    note = "subscribes to Redis itself; rooms are maps in the one process, so it could not be scaled out as it is"

    def versions(self, stage: Stage) -> dict[str, str]:
        """Return the versions of Node and its packages, which npm fetches into the cache once."""
        modules = _modules(stage.cache)
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        found = {name: json.loads((modules / name / "package.json").read_text())["version"] for name in ("ws", "redis")}
        return {"node": node, **found}

    @contextlib.contextmanager
    def start(self, stage: Stage) -> Iterator[Running]:
        """Run the program."""
        port = local_port()
        with EmbeddedValkey() as valkey:
            env = {"BENCH_REDIS_URL": valkey.url, "BENCH_JWT_KEY": JWT_KEY, "BENCH_MODULES": str(_modules(stage.cache))}
            with serving(["node", str(_PROGRAM), str(port)], stage=stage, name=self.name, port=port, env=env) as server:
                server.wait_until(lambda: subscribed(valkey.url))
                url = f"ws://{LOOPBACK}:{port}/ws"
                yield Running(
                    server, Route(url=url, user_url=url, room_url=url, publish=valkey.url, token_key=JWT_KEY), valkey
                )


def _modules(cache: Path) -> Path:
    if not shutil.which("node") or not shutil.which("npm"):
        raise PeerMissing("node and npm are not installed")
    home = cache / "node"
    modules = home / "node_modules"
    if not (modules / "ws").exists() or not (modules / "redis").exists():
        home.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(home), "--no-audit", "--no-fund", "--no-save", *_PACKAGES]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode:
            raise PeerMissing(f"npm could not install ws and redis: {done.stderr.strip()[-300:]}")
    return modules
