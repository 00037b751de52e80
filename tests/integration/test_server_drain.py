"""The graceful end on SIGTERM, seen from both sides."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.integration.programs import wait_until
from tests.integration.serving import Peer, Server, upgrade_request


def ended(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(timeout=20)
    assert caught.value.rcvd is not None, "no close frame came (1006)"
    return caught.value.rcvd.code, caught.value.rcvd.reason


def test_everybody_is_told_when_to_come_back_and_every_application_runs_to_its_end() -> None:
    with Server("commands") as server:
        clients = [connect(f"{server.ws}/tidy", compression=None, legacy=True) for _ in range(30)]
        server.signal(signal.SIGTERM)
        closes = [ended(client) for client in clients]
        assert server.wait(20) == 0
        assert {code for code, _ in closes} == {1012}
        hints = [int(re.fullmatch(r"restart retry_after_ms=(\d+)", reason)[1]) for _, reason in closes]  # type: ignore[index]
        assert len(set(hints)) > 10, "the hints are spread out"
        # Each of them still worked for 0.2 s after the disconnect event.
        assert server.log.count("disconnect 1012 restart") == 30


def test_the_application_is_told_before_anybody_is_closed() -> None:
    with Server("commands") as server, connect(server.ws, compression=None):
        server.terminate()
        assert server.log.index("drain hook, draining=True") < server.log.index("disconnect 1012")


def test_a_request_in_flight_is_answered_and_new_connections_are_not_taken() -> None:
    with Server("commands") as server:
        answers: list[Any] = []
        request = threading.Thread(target=lambda: answers.append(server.get("/slow")))
        request.start()
        server.wait_for_log("slow request begun")
        server.signal(signal.SIGTERM)
        server.wait_for_log("drain hook")
        with pytest.raises(OSError, match=r"refused|reset"):
            server.get("/")
        request.join()
        assert answers == ["slow but done"]
        assert server.wait(20) == 0


def test_peers_and_applications_that_do_not_end_cannot_hold_it_up() -> None:
    with Server("commands", "--drain-timeout=1") as server, Peer(server) as deaf:
        with connect(f"{server.ws}/lingering", compression=None) as client:
            began = time.monotonic()
            server.signal(signal.SIGTERM)
            assert ended(client)[0] == 1012
            assert server.wait(20) == 0
            # The default of ten seconds would show.
            assert time.monotonic() - began < 8
        assert deaf.close_frame()[0] == 1012


def test_an_upgrade_that_comes_while_draining_is_refused_with_503() -> None:
    with Server("commands") as server, Peer(server, "/lingering") as open_peer:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as early:
            # A request of which a part is there is served on; the rest of it comes during the drain.
            early.sendall(upgrade_request()[:40])
            wait_until(lambda: server.get()["open"] == 1, "the other connection")
            server.signal(signal.SIGTERM)
            server.wait_for_log("drain hook")
            early.sendall(upgrade_request()[40:])
            assert early.recv(65536).startswith(b"HTTP/1.1 503 ")
        assert open_peer.close_frame()[0] == 1012
        server.kill()


def test_a_second_signal_cuts_the_drain_short() -> None:
    with Server("commands", "--drain-timeout=60", "--close-timeout=60") as server, Peer(server, "/lingering") as deaf:
        server.signal(signal.SIGINT)
        assert deaf.close_frame()[0] == 1012
        server.signal(signal.SIGINT)
        assert server.wait(20) == 0
