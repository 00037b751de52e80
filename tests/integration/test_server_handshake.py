"""What happens before a connection is open: refusals, limits, malformed requests."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.integration.programs import wait_until
from tests.integration.serving import KEY, Peer, Server, upgrade_request


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("commands", "--request-timeout=1", "--websocket_connect_timeout=1") as server:
        yield server


def answer(server: Server, request: bytes) -> str:
    """Send raw bytes on a new connection and return all that comes back."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(request)
        received = b""
        while data := client.recv(65536):
            received += data
    return received.decode()


def test_a_close_before_accept_is_a_403(server: Server) -> None:
    with pytest.raises(InvalidStatus) as caught, connect(f"{server.ws}/refuse"):
        pass
    assert caught.value.response.status_code == 403


def test_the_application_may_answer_with_a_response_of_its_own(server: Server) -> None:
    with pytest.raises(InvalidStatus) as caught, connect(f"{server.ws}/busy"):
        pass
    response = caught.value.response
    assert (response.status_code, response.headers["retry-after"], response.body) == (503, "7", b"later")


def test_an_application_that_fails_before_accept_is_a_500(server: Server) -> None:
    with pytest.raises(InvalidStatus) as caught, connect(f"{server.ws}/fail"):
        pass
    assert caught.value.response.status_code == 500


def test_an_application_that_never_answers_is_a_503_and_hears_of_it(server: Server) -> None:
    assert answer(server, upgrade_request("/never")).startswith("HTTP/1.1 503 ")
    server.wait_for_log("gone unanswered")


def test_a_request_that_never_ends_is_a_408(server: Server) -> None:
    assert answer(server, upgrade_request()[:-2]).startswith("HTTP/1.1 408 ")


def test_a_request_head_without_end_is_a_431(server: Server) -> None:
    assert answer(server, b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000).startswith("HTTP/1.1 431 ")


def test_subprotocol_and_headers_of_the_accept_reach_the_client(server: Server) -> None:
    with connect(server.ws, subprotocols=["bearer", "ey.token"]) as client:  # type: ignore[list-item]
        assert client.subprotocol == "bearer"
        assert client.response is not None
        assert client.response.headers["x-flavour"] == "plain"


def test_a_request_sent_byte_by_byte_opens_too(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in upgrade_request():
            client.sendall(bytes([byte]))
        assert client.recv(65536).startswith(b"HTTP/1.1 101 ")


def test_frames_sent_along_with_the_request_are_not_lost(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(upgrade_request() + b"\x81\x85\0\0\0\0early")
        received = b""
        while b"\x81\x05early" not in received:
            received += client.recv(65536)
        assert received.startswith(b"HTTP/1.1 101 ")


def test_a_websocket_may_follow_requests_on_a_kept_connection(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while b'"overflowed"' not in received:
            received += client.recv(65536)
        client.sendall(upgrade_request() + b"\x81\x85\0\0\0\0hello")
        received = b""
        while b"\x81\x05hello" not in received:
            received += client.recv(65536)
        assert received.startswith(b"\r\n0\r\n\r\nHTTP/1.1 101 ") or b"HTTP/1.1 101 " in received


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (upgrade_request().replace(b"Version: 13", b"Version: 8"), 426),
        (upgrade_request().replace(KEY.encode(), b"short"), 400),
        (upgrade_request().replace(b"Host: localhost\r\n", b""), 400),
        (upgrade_request("/", "Host: twice"), 400),
        (upgrade_request("/", "Bad Name: x"), 400),
        (upgrade_request("/", "X: a\x0bb"), 400),
        (upgrade_request("/").replace(b"GET /", "GET /é".encode()), 400),
        (upgrade_request().replace(b"Connection: Upgrade", b"Connection: close"), 400),
    ],
    ids=["version", "key", "no host", "two hosts", "header name", "header value", "path", "connection"],
)
def test_a_malformed_request_is_refused(server: Server, request_bytes: bytes, status: int) -> None:
    assert answer(server, request_bytes).startswith(f"HTTP/1.1 {status} ")


def test_of_too_many_idle_connections_the_oldest_is_cut() -> None:
    with Server("commands", "--max-pending=3") as server:
        idle = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(4)]
        with pytest.raises(ConnectionResetError):
            idle[0].recv(1)
        with Peer(server) as peer:
            assert peer.response.startswith("HTTP/1.1 101")
        for connection in idle:
            connection.close()


def test_a_storm_of_connects_loses_none(server: Server) -> None:
    storm = []
    for _ in range(300):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", server.port))
        storm.append(client)
    for client in storm:
        client.settimeout(20)
        client.sendall(upgrade_request())
    assert all(client.recv(65536).startswith(b"HTTP/1.1 101 ") for client in storm)
    for client in storm:
        client.close()
    wait_until(lambda: server.get()["open"] == 0, "the end of the storm")


def test_more_connections_than_the_shell_allows_can_be_open() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 500:
        pytest.skip(f"this machine allows no more than {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        server = Server("commands")
        server.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    peers = [Peer(server) for _ in range(150)]
    assert server.get()["open"] == 150
    for peer in peers:
        peer.socket.close()
    server.close()
