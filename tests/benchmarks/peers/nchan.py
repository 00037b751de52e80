"""Nchan, the pub/sub module of nginx, from Debian's packages."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ginforge.embedded import LOOPBACK, EmbeddedValkey
from tests.benchmarks.peers.base import Peer, PeerMissing, Route, Running, Stage, local_port, serving

_TEMPLATE = Path(__file__).parent.parent / "servers" / "nchan.conf"
_MODULE = Path("usr/lib/nginx/modules/ngx_nchan_module.so")


@dataclass(frozen=True, slots=True)
class _Installation:
    nginx: Path
    module: Path


class Nchan(Peer):
    """nginx with one worker; messages come in by HTTP POST."""

    name = "nchan"
    label = "Nchan (nginx)"
    note = "published to by HTTP POST, not through Redis; checks no token; in a room, clients publish raw"
    lacks = frozenset({"slow_reader"})

    def versions(self, stage: Stage) -> dict[str, str]:
        """Return the versions of nginx and Nchan, whose packages apt fetches into the cache if not installed."""
        found = _installation(stage.cache)
        nginx = subprocess.run([found.nginx, "-v"], capture_output=True, text=True, check=True).stderr
        nchan = re.search(rb"nchan/?v?(\d+\.\d+\.\d+)", found.module.read_bytes(), re.IGNORECASE)
        return {"nginx": nginx.rsplit("/", 1)[-1].strip(), "nchan": nchan[1].decode() if nchan else _packaged()}

    @contextlib.contextmanager
    def start(self, stage: Stage) -> Iterator[Running]:
        """Run nginx with a configuration of its own."""
        found, port, directory = _installation(stage.cache), local_port(), stage.scratch(self.name)
        text = _TEMPLATE.read_text()
        values = {"module": found.module, "directory": directory, "port": port, "user": getpass.getuser()}
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        config = directory / "nginx.conf"
        config.write_text(text)
        command = _confined([str(found.nginx), "-p", str(directory), "-c", str(config), "-e", "stderr"])
        with EmbeddedValkey() as valkey, serving(command, stage=stage, name=self.name, port=port) as server:
            base = f"{LOOPBACK}:{port}"
            yield Running(
                server,
                Route(
                    url=f"ws://{base}/ws",
                    user_url=f"ws://{base}/ws?user={{user}}",
                    room_url=f"ws://{base}/room?room={{room}}",
                    publish=f"http://{base}/pub",
                    expect_welcome=False,
                    join_rooms=False,
                ),
                valkey,
            )


def _installation(cache: Path) -> _Installation:
    installed = shutil.which("nginx") or "/usr/sbin/nginx"
    if Path(installed).exists() and ("/" / _MODULE).exists():
        return _Installation(Path(installed), "/" / _MODULE)
    home = cache / "nchan"
    if not (home / _MODULE).exists():
        _unpack(home)
    return _Installation(home / "usr/sbin/nginx", home / _MODULE)


def _confined(command: list[str]) -> list[str]:
    """Give nginx an empty /var/lib of its own where the package is not installed.

    With Nchan loaded it makes /var/lib/nginx/body whatever the configuration says.
    """
    if Path("/var/lib/nginx").exists():
        return command
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    mount = 'mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/nginx && exec "$@"'
    return ["unshare", *user, "--mount", "sh", "-c", mount, "sh", *command]


def _unpack(home: Path) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise PeerMissing("needs nginx and libnginx-mod-nchan (Debian)")
    home.mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "download", "nginx", "libnginx-mod-nchan"]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise PeerMissing(f"apt-get could not fetch libnginx-mod-nchan: {done.stderr.strip()[-300:]}")
    for package in home.glob("*.deb"):
        subprocess.run(["dpkg", "-x", str(package), str(home)], check=True)


def _packaged() -> str:
    policy = subprocess.run(["apt-cache", "policy", "libnginx-mod-nchan"], capture_output=True, text=True, check=False)
    found = re.search(r"Candidate: (?:\d+:)?([\d.]+)", policy.stdout)
    return found[1] if found else "unknown"
