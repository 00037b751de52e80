"""Several workers behind one port."""

from __future__ import annotations

import os
import signal
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.integration.programs import wait_until
from tests.integration.serving import Peer, Server


def worker_pids(server: Server) -> set[int]:
    """Return the pids of the master's children."""
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
    return {int(pid) for pid in children.read_text().split()}


def is_gone(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def test_clients_that_come_one_after_the_other_are_shared_out_evenly() -> None:
    with Server("commands", "--workers=2") as server:
        peers = [Peer(server) for _ in range(200)]
        seen: dict[int, int] = {}
        while set(seen) != worker_pids(server):
            state = server.get()
            seen[state["pid"]] = state["open"]
        assert sum(seen.values()) == 200
        assert min(seen.values()) > 70
        for peer in peers:
            peer.socket.close()


def test_a_worker_that_hangs_does_not_keep_clients_from_the_other() -> None:
    with Server("commands", "--workers=2", "--drain-timeout=1") as server:
        stuck, working = worker_pids(server)
        os.kill(stuck, signal.SIGSTOP)
        try:
            peers = [Peer(server) for _ in range(60)]
            assert server.get()["pid"] == working
        finally:
            os.kill(stuck, signal.SIGCONT)
        for peer in peers:
            peer.socket.close()


def test_a_worker_killed_with_sigkill_is_replaced_while_the_other_serves_on() -> None:
    with Server("commands", "--workers=2") as server:
        first = worker_pids(server)
        victim, survivor = first
        os.kill(victim, signal.SIGKILL)
        assert server.get()["pid"] == survivor
        wait_until(lambda: len(worker_pids(server)) == 2 and victim not in worker_pids(server), "a new worker")
        (new,) = worker_pids(server) - first
        wait_until(lambda: server.get()["pid"] == new, "the new worker to serve")


def test_sigterm_drains_every_worker() -> None:
    with Server("commands", "--workers=2") as server:
        clients = [connect(f"{server.ws}/tidy", compression=None, legacy=True) for _ in range(20)]
        server.signal(signal.SIGTERM)
        for client in clients:
            with pytest.raises(ConnectionClosed, match="1012"):
                client.recv(timeout=20)
        assert server.wait(20) == 0
        assert server.log.count("disconnect 1012 restart") == 20


def test_workers_do_not_outlive_a_master_that_was_killed() -> None:
    with Server("commands", "--workers=2") as server:
        workers = worker_pids(server)
        server.signal(signal.SIGKILL)
        wait_until(lambda: all(is_gone(pid) for pid in workers), "the workers' end")


def test_one_metrics_endpoint_speaks_for_all_workers() -> None:
    with Server("counted", "--workers=2") as server:
        by_worker: Counter[int] = Counter()
        while set(by_worker) != worker_pids(server):
            by_worker[server.get("/count")] += 1
        for _ in range(4):
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=20) as response:
                assert f"requests_total {by_worker.total()}.0" in response.read().decode()
