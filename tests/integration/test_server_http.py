"""HTTP beside the WebSockets: failing applications, large responses, the access log."""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException
from pathlib import Path

import pytest
from websockets.sync.client import connect, unix_connect

from tests.integration.programs import Program, wait_until
from tests.integration.serving import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("commands") as server:
        yield server


def test_a_response_that_fails_half_way_is_cut_and_the_server_serves_on(server: Server) -> None:
    for _ in range(3):
        with pytest.raises((OSError, HTTPException)):
            server.get("/half")
    # Daphne's reaper dies of this, and with it the end of every later connection.
    with connect(server.ws, compression=None) as client:
        client.send("raise")
        with pytest.raises(Exception, match="1011"):
            client.recv(timeout=20)
    assert server.get()["open"] == 0


def test_an_application_without_a_response_is_a_500(server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError, match="500"):
        server.get("/nothing")


def test_a_large_response_to_a_slow_client_does_not_pile_up(server: Server) -> None:
    before = server.get()["rss_kb"]
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.settimeout(20)
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET /large HTTP/1.0\r\n\r\n")
        size, highest = 0, 0
        while data := client.recv(1 << 20):
            if size // 10_000_000 != (size + len(data)) // 10_000_000:
                highest = max(highest, server.get()["rss_kb"] - before)
            size += len(data)
    assert size > 1600 * 65_536
    assert highest < 10_000


def test_no_query_and_so_no_token_reaches_the_access_log(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with Server("commands", f"--access-log={log}", "--verbosity=2") as server:
        server.get("/some/path?token=secret-of-http")
        with connect(f"{server.ws}/ws?token=secret-of-ws", compression=None):
            pass
        server.wait_for_log("disconnect 1000")
        server.terminate()
        assert "/some/path" in log.read_text()
        assert "/ws" in log.read_text()
        assert "secret" not in log.read_text() + server.log


def test_the_application_starts_before_the_first_request_and_ends_after_the_last() -> None:
    with Server("with_lifespan") as server:
        assert server.log.index("application starts") < server.log.index("listening on")
        server.get()
        assert server.terminate() == 0
        assert "application ends" in server.log


def test_a_wrong_host_header_or_an_old_client_is_answered(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
        received = b""
        while data := client.recv(65536):
            received += data
    assert received.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("trusted", [False, True])
def test_only_a_trusted_proxy_may_say_who_and_where(trusted: bool) -> None:
    headers = {"Daphne-Root-Path": "/elsewhere", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    with Server("commands", *(["--proxy-headers"] if trusted else [])) as server:
        request = urllib.request.Request(f"http://127.0.0.1:{server.port}/scope", headers=headers)
        with urllib.request.urlopen(request, timeout=20) as response:
            scope = json.load(response)
    if trusted:
        assert (scope["root_path"], scope["client"][0], scope["scheme"]) == ("/elsewhere", "192.0.2.7", "https")
    else:
        assert (scope["root_path"], scope["client"][0], scope["scheme"]) == ("", "127.0.0.1", "http")


def test_a_second_request_on_one_connection_is_served(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        for _ in range(3):
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            received = b""
            deadline = time.monotonic() + 20
            while not received.endswith(b"0\r\n\r\n") and time.monotonic() < deadline:
                received += client.recv(65536)
            assert received.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 30_000_000])
def test_an_upload_reaches_the_application_in_chunks_and_not_through_memory(server: Server, size: int) -> None:
    before = server.get()["rss_kb"]
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}/upload", data=bytes(size), method="POST")
    with urllib.request.urlopen(request, timeout=20) as response:
        result = json.load(response)
    assert result["size"] == size
    assert result["largest"] <= 65_536
    assert result["rss_kb"] - before < 12_000


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_over_the_limit_is_a_413(chunked: bool) -> None:
    with Server("commands", "--max-request-body=100000") as server:
        body = iter([b"x" * 60_000] * 10) if chunked else b"x" * 600_000
        request = urllib.request.Request(f"http://127.0.0.1:{server.port}/upload", data=body, method="POST")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=20)
        assert caught.value.code == 413
        caught.value.close()
        assert server.get()["open"] == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_unix_socket_serves_requests_and_websockets(tmp_path: Path, workers: int) -> None:
    path = str(tmp_path / "server.sock")
    server = Server("commands", f"--unix-socket={path}", *([f"--workers={workers}"] if workers > 1 else []))
    server.command = [flag for flag in server.command if flag != "--port=0"]
    with closing(server):
        Program.start(server)
        server.wait_for_log("listening on")
        wait_until(lambda: Path(path).exists(), "the socket")
        with unix_connect(path, compression=None) as client:
            client.send("over a file")
            assert client.recv(timeout=20) == "over a file"
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(20)
            raw.connect(path)
            raw.sendall(b"GET /scope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            received = b""
            while data := raw.recv(65536):
                received += data
        assert b'"client": null' in received
