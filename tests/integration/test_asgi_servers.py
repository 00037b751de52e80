"""The same application on stock Daphne, uvicorn and our own server."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from ginforge.embedded import EmbeddedValkey, free_port
from tests.integration.programs import MANAGE, Program, wait_until
from tests.integration.stack import get, make_token, production_environment

SERVERS = {
    "daphne": ["-m", "daphne", "-b", "127.0.0.1", "-p"],
    "uvicorn": ["-m", "uvicorn", "--host", "127.0.0.1", "--port"],
    "ginforge.server": ["-m", "ginforge.server", "-b", "127.0.0.1", "-p"],
}


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Iterator[dict[str, str]]:
    """Give the environment of a deployment with a bridge and without a gateway."""
    with EmbeddedValkey() as valkey:
        environment = production_environment(REDIS_URL=valkey.url, DATABASE_URL=f"sqlite:///{migrated_database}")
        with Program("bridge", [*MANAGE, "runbridge"], environment):
            yield environment


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, env: dict[str, str]) -> Iterator[tuple[str, Program]]:
    """Give the address and the process of a ready server."""
    port = free_port()
    command = [sys.executable, *SERVERS[request.param], str(port), "ginforge.asgi:application"]
    with Program(request.param, command, env) as program:
        wait_until(lambda: get(f"http://127.0.0.1:{port}/readyz")[0] == 200, f"{request.param} to be ready")
        yield f"127.0.0.1:{port}", program


def test_http_and_websocket_are_served_and_no_token_is_logged(server: tuple[str, Program]) -> None:
    address, program = server
    token = make_token("asgi-user")
    with connect(f"ws://{address}/ws?token={token}") as socket:
        assert '"type":"welcome"' in socket.recv(10)
        socket.send('{"type":"ping","id":"1"}')
        wait_until(lambda: '"type":"pong"' in socket.recv(10), "the pong")
    assert get(f"http://{address}/healthz?token={token}")[0] == 200
    assert token.rpartition(".")[2] not in program.log


def test_static_files_are_served_without_debug_and_without_a_warning(server: tuple[str, Program]) -> None:
    address, program = server
    url = f"http://{address}/static/admin/css/base.css"
    with urllib.request.urlopen(url) as answer:
        body, tag = answer.read(), answer.headers["ETag"]
        assert answer.headers["Content-Type"].startswith("text/css")
        assert len(body) == int(answer.headers["Content-Length"]) > 1000
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Range": "bytes=2-11"})) as part:
        assert (part.status, part.read()) == (206, body[2:12])
    assert get(f"http://{address}/static/../ginforge/settings.py")[0] == 404
    with pytest.raises(urllib.error.HTTPError, match="304"):
        urllib.request.urlopen(urllib.request.Request(url, headers={"If-None-Match": tag}))
    assert "Warning" not in program.log
