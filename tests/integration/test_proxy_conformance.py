"""The proxy against the cases of HTTP: a real gateway in front of a real service."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.programs import wait_until
from tests.integration.proxying import Upstream, ask
from tests.integration.stack import Gateway, Stack, get

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream("one") as program:
        yield program


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path, upstream: Upstream) -> Iterator[Gateway]:
    proxy = {
        "first_byte_timeout": 1.0,
        "idle_timeout": 1.0,
        "total_timeout": 60.0,
        "client_rate": "",
        "max_body": 80 * MEGABYTE,
        "routes": {"files": {"idle_timeout": 60, "first_byte_timeout": 60}},
    }
    env = {"UPSTREAM_USER_API": upstream.url, "UPSTREAM_FILE_API": upstream.url, "PROXY": json.dumps(proxy)}
    stack = Stack(tmp_path_factory.mktemp("stack"), migrated_database, env)
    try:
        yield stack.start(bridges=0, gateways=0).add_gateway()
    finally:
        stack.close()


@pytest.fixture(autouse=True)
def listening(gateway: Gateway) -> None:
    wait_until(lambda: get(f"{gateway.url}/healthz")[0] == 200, "the gateway")


opened: list[http.client.HTTPConnection] = []


def connected(gateway: Gateway) -> http.client.HTTPConnection:
    opened.append(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60))
    return opened[-1]


@pytest.fixture(autouse=True)
def hang_up() -> Iterator[None]:
    yield
    while opened:
        opened.pop().close()


def test_the_whole_path_and_query_arrive_as_written(gateway: Gateway) -> None:
    path = "/api/v1/user/echo/a%20b/%E4%BD%A0;x=1?q=1&q=2&empty=&plus=a+b%2Fc"
    assert ask(gateway.url, path).json["target"] == path


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods_and_small_bodies_pass(gateway: Gateway, method: str) -> None:
    answer = ask(gateway.url, "/api/v1/user/echo", method, b"hello", {"Content-Type": "text/x"})
    assert (answer.json["method"], answer.json["body"]) == (method, "hello")
    assert answer.seen()["content-type"] == "text/x"


def test_a_request_without_a_body_has_none_upstream(gateway: Gateway) -> None:
    seen = ask(gateway.url, "/api/v1/user/echo").seen()
    assert "transfer-encoding" not in seen
    assert "content-length" not in seen
    assert "user-agent" not in seen


def test_repeated_headers_and_cookies_stay_repeated(gateway: Gateway) -> None:
    answer = ask(gateway.url, "/api/v1/user/echo", headers=[("X-Twice", "1"), ("X-Twice", "2"), ("Cookie", "a=1; b=2")])
    assert answer.all("set-cookie") == ["a=1; Path=/", "b=2; Path=/"]
    assert answer.all("x-many") == ["1", "2"]
    assert [value for name, value in answer.json["headers"] if name.lower() == "x-twice"] == ["1", "2"]
    assert answer.seen()["cookie"] == "a=1; b=2"


def test_hop_by_hop_headers_stay_on_their_hop(gateway: Gateway) -> None:
    sent = {"Connection": "keep-alive, X-Private", "X-Private": "1", "TE": "trailers", "Keep-Alive": "5"}
    seen = ask(gateway.url, "/api/v1/user/echo", headers=sent).seen()
    assert not {"x-private", "te", "keep-alive"} & set(seen)
    answer = ask(gateway.url, "/api/v1/user/chunks")
    assert not answer.all("x-hop")
    assert not answer.all("keep-alive")


def test_date_and_server_are_said_once(gateway: Gateway) -> None:
    answer = ask(gateway.url, "/api/v1/user/echo")
    assert len(answer.all("date")) == len(answer.all("server")) == 1


def test_a_chunked_answer_passes_in_parts_as_it_comes(gateway: Gateway) -> None:
    connection = connected(gateway)
    connection.request("GET", "/api/v1/user/chunks?pause=0.3")
    response = connection.getresponse()
    assert response.getheader("transfer-encoding") == "chunked"
    arrivals = []
    while line := response.readline():
        arrivals.append((line, time.monotonic()))
    assert [line for line, _ in arrivals] == [b"part 0\n", b"part 1\n", b"part 2\n"]
    assert arrivals[2][1] - arrivals[0][1] > 0.3


def test_a_chunked_request_passes(gateway: Gateway) -> None:
    answer = ask(gateway.url, "/api/v1/user/echo", "POST", iter([b"ab", b"cd"]))
    assert (answer.json["body"], answer.json["size"]) == ("abcd", 4)


def test_head_has_the_length_and_no_body(gateway: Gateway) -> None:
    answer = ask(gateway.url, "/api/v1/user/download?size=5000", "HEAD")
    assert (answer.status, answer.body, answer.one("content-length")) == (200, b"", "5000")


@pytest.mark.parametrize("code", [204, 304])
def test_answers_without_a_body_leave_the_connection_usable(gateway: Gateway, code: int) -> None:
    connection = connected(gateway)
    for _ in range(2):
        connection.request("GET", f"/api/v1/user/status/{code}")
        response = connection.getresponse()
        assert (response.status, response.read()) == (code, b"")
        assert response.getheader("transfer-encoding") is None
    connection.close()


def test_redirects_and_errors_are_the_clients(gateway: Gateway) -> None:
    assert ask(gateway.url, "/api/v1/user/status/302").one("location") == "/elsewhere"
    assert [ask(gateway.url, f"/api/v1/user/status/{code}").status for code in (404, 418, 500)] == [404, 418, 500]


def test_an_informational_answer_is_not_taken_for_the_answer(gateway: Gateway) -> None:
    answer = ask(gateway.url, "/api/v1/user/early")
    assert (answer.status, answer.body) == (200, b"after the hint")


def test_a_client_that_expects_a_continue_gets_it(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as client:
        client.sendall(
            b"POST /api/v1/user/echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n"
            b"Connection: close\r\n\r\n"
        )
        assert client.recv(1000).startswith(b"HTTP/1.1 100")
        client.sendall(b"hello")
        assert b'"body": "hello"' in read_until(client, b'"size": 5')


def test_a_compressed_answer_stays_compressed(gateway: Gateway) -> None:
    answer = ask(gateway.url, "/api/v1/user/gzip", headers={"Accept-Encoding": "gzip"})
    assert answer.one("content-encoding") == "gzip"
    assert gzip.decompress(answer.body) == b"x" * 5000


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def test_a_large_download_needs_no_memory(gateway: Gateway) -> None:
    ask(gateway.url, "/api/v1/files/download?size=1000000")
    before, peak, size = resident(gateway.pid), 0, 200 * MEGABYTE
    connection = connected(gateway)
    connection.request("GET", f"/api/v1/files/download?size={size}")
    response = connection.getresponse()
    while chunk := response.read(MEGABYTE):
        size -= len(chunk)
        peak = max(peak, resident(gateway.pid))
    assert size == 0
    assert peak - before < 20 * MEGABYTE


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_upload_needs_no_memory_and_arrives_whole(gateway: Gateway, chunked: bool) -> None:
    block, count = bytes(range(256)) * 4096, 64
    ask(gateway.url, "/api/v1/files/upload", "PUT", block)
    before, peaks = resident(gateway.pid), [0]

    def blocks() -> Iterator[bytes]:
        for _ in range(count):
            peaks.append(resident(gateway.pid))
            yield block

    connection = connected(gateway)
    headers = {} if chunked else {"Content-Length": str(len(block) * count)}
    connection.request("PUT", "/api/v1/files/upload", blocks(), headers, encode_chunked=chunked)
    got = json.loads(connection.getresponse().read())
    peaks.append(resident(gateway.pid))
    assert got == {"size": len(block) * count, "sha256": hashlib.sha256(block * count).hexdigest()}
    assert max(peaks) - before < 20 * MEGABYTE


def test_a_body_over_the_limit_is_refused_by_its_length_and_by_its_size(gateway: Gateway) -> None:
    connection = connected(gateway)
    block = bytes(MEGABYTE)
    connection.request("POST", "/api/v1/files/upload", (block for _ in range(81)), encode_chunked=True)
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["code"]) == (413, "too_large")


def test_an_upstream_without_an_answer_in_time_is_a_504(gateway: Gateway) -> None:
    answer = ask(gateway.url, "/api/v1/user/slow?seconds=30", "POST", b"")
    assert (answer.status, answer.json["code"]) == (504, "upstream_timeout")


@pytest.mark.parametrize("path", ["die-in-body", "die-in-body?length", "stall"])
def test_an_answer_cut_short_reaches_the_client_as_cut_short(gateway: Gateway, path: str) -> None:
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        ask(gateway.url, f"/api/v1/user/{path}")


def test_a_connection_dropped_before_the_answer_is_a_502(gateway: Gateway) -> None:
    answer = ask(gateway.url, "/api/v1/user/drop", "POST", b"x")
    assert (answer.status, answer.json["code"]) == (502, "upstream_failed")
    assert answer.json["request_id"] == answer.one("x-request-id")


def read_until(client: socket.socket, text: bytes) -> bytes:
    data = b""
    while text not in data:
        chunk = client.recv(65536)
        assert chunk, data
        data += chunk
    return data


@pytest.mark.parametrize("moment", ["before the answer", "in the answer", "after an upload"])
def test_a_client_that_leaves_cancels_the_upstreams_work(gateway: Gateway, upstream: Upstream, moment: str) -> None:
    before = upstream.state()["cancelled"]
    path = "stall" if moment == "in the answer" else "slow?seconds=50"
    body = bytes(MEGABYTE if moment == "after an upload" else 0)
    method = "PUT" if body else "GET"
    head = f"{method} /api/v1/files/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as client:
        client.sendall(head.encode() + body)
        wait_until(lambda: upstream.state()["active"] > 1, "the request upstream")
        if moment == "in the answer":
            read_until(client, b"begin")
    wait_until(lambda: upstream.state()["cancelled"] > before, "the upstream to be cancelled", 10)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/user/../admin/secret", "/api/v1/user/%2e%2e/admin", "/api/v1/user/a%2fb", "/api/v1/user/a%5cb",
        "/api/v1/%75ser/x", "/api/v1/user/..;/admin", "/api/v1/user/%252e%252e/x", "/api/v1/user/%00",
        "/api/v1/user/a\\b",
    ],
)  # fmt: skip
def test_path_tricks_are_refused(gateway: Gateway, upstream: Upstream, path: str) -> None:
    before = upstream.state()["requests"]
    assert ask(gateway.url, path).status == 400
    assert upstream.state()["requests"] == before


def test_an_absolute_uri_is_not_proxied(gateway: Gateway, upstream: Upstream) -> None:
    before = upstream.state()["requests"]
    assert ask(gateway.url, f"{upstream.url}/api/v1/user/echo").status in (400, 404)
    assert upstream.state()["requests"] == before


def test_a_foreign_host_is_refused(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as client:
        client.sendall(b"GET /api/v1/user/echo HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 400")


def test_a_service_without_upstreams_says_so(gateway: Gateway) -> None:
    answer = ask(gateway.url, "/api/v1/merchant/shops")
    assert (answer.status, answer.json["code"]) == (503, "no_upstream")
    assert "configured" in answer.json["detail"]
    assert answer.one("content-type") == "application/json"


def test_paths_beside_the_services_are_djangos(gateway: Gateway) -> None:
    assert ask(gateway.url, "/api/v1/users/x").status == 404
    assert ask(gateway.url, "/api/v1/notifications/").status in (401, 403)
