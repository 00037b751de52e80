"""Under TLS nothing may go to the socket directly."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.integration.certificates import write_self_signed
from tests.integration.serving import Server


class TlsServer(Server):
    """A server on a TLS endpoint with a certificate of its own."""

    def __init__(self, application: str, certificate: Path) -> None:
        super().__init__(application)
        self.command = [flag for flag in self.command if flag != "--port=0"]
        self.command[3:3] = ["-e", f"ssl:port=0:interface=127.0.0.1:privateKey={certificate}:certKey={certificate}"]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_self_signed(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture(scope="module")
def server(certificate: Path) -> Iterator[Server]:
    with TlsServer("fan_out", certificate) as server:
        yield server


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_shared_frames_arrive_encrypted_and_in_order(server: Server) -> None:
    assert re.search(r"listening on \S+:\d+", server.log)
    url = f"wss://127.0.0.1:{server.port}"
    with (
        connect(url, ssl=client_context(), compression=None) as sender,
        connect(url, ssl=client_context(), compression=None) as other,
    ):
        sender.send("flood 100 20000")
        for client in (sender, other):
            messages = [str(client.recv(timeout=20)) for _ in range(101)]
            assert [int(message.partition(" ")[0]) for message in messages[:-1]] == list(range(100))
            assert messages[-1] == "end"


def test_a_close_code_arrives_under_tls(certificate: Path) -> None:
    with TlsServer("commands", certificate) as server:
        url = f"wss://127.0.0.1:{server.port}"
        with connect(url, ssl=client_context(), compression=None) as client:
            client.send("close 4401 under tls")
            with pytest.raises(ConnectionClosed, match="4401"):
                client.recv(timeout=20)
        server.wait_for_log("disconnect 4401 under tls")
