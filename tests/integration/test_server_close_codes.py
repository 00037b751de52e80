"""Every way a connection ends, as the peer and the application see it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.integration.serving import Peer, Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server("commands") as server:
        yield server


def ended(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        client.recv(timeout=20)
    assert caught.value.rcvd is not None, "no close frame came (1006)"
    return caught.value.rcvd.code, caught.value.rcvd.reason


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012, 1013, 3000, 4401, 4403, 4409, 4429, 4999])
def test_the_peer_sees_the_code_and_reason_the_application_closed_with(server: Server, code: int) -> None:
    with connect(server.ws, compression=None) as client:
        client.send(f"close {code} because of {code} é")
        assert ended(client) == (code, f"because of {code} é")
    server.wait_for_log(f"disconnect {code} because of {code}")


def test_a_long_reason_is_cut_on_a_character_boundary(server: Server) -> None:
    with connect(server.ws, compression=None) as client:
        client.send("close 4000 " + "é" * 100)
        assert ended(client) == (4000, "é" * 61)


def test_a_message_over_the_limit_is_answered_with_1009(server: Server) -> None:
    with connect(server.ws, compression=None) as client:
        client.send("x" * 524_289)
        assert ended(client)[0] == 1009


def test_a_message_over_the_limit_in_many_frames_is_answered_with_1009(server: Server) -> None:
    with connect(server.ws, compression=None) as client:
        client.send("x" * 10_000 for _ in range(60))
        assert ended(client)[0] == 1009


def test_a_message_of_exactly_the_limit_passes(server: Server) -> None:
    with connect(server.ws, compression=None, max_size=None) as client:
        client.send("x" * 524_288)
        assert len(client.recv(timeout=20)) == 524_288


@pytest.mark.parametrize("payload", [b"\xff", b"\xed\xa0\x80", b"x" * 2000 + b"\xc3"])
def test_text_that_is_not_utf8_is_answered_with_1007(server: Server, payload: bytes) -> None:
    with Peer(server) as peer:
        peer.send(0x81, payload)
        assert peer.close_frame()[0] == 1007


def test_broken_utf8_in_fragments_is_answered_with_1007(server: Server) -> None:
    with Peer(server) as peer:
        peer.send(0x01, b"fine")
        peer.send(0x80, b"\xff")
        assert peer.close_frame()[0] == 1007


def test_a_binary_message_reaches_the_application_which_answers_1003(server: Server) -> None:
    with connect(server.ws, compression=None) as client:
        client.send(b"\x00")
        assert ended(client) == (1003, "text only")


@pytest.mark.parametrize(
    ("first", "payload", "masked"),
    [(0x81, b"hello", False), (0x83, b"", True), (0xC1, b"", True), (0x80, b"", True), (0x09, b"", True)],
    ids=["unmasked", "reserved opcode", "reserved bit", "continuation of nothing", "fragmented ping"],
)
def test_a_frame_against_the_protocol_is_answered_with_1002(
    server: Server, first: int, payload: bytes, masked: bool
) -> None:
    with Peer(server) as peer:
        peer.send(first, payload, masked=masked)
        assert peer.close_frame()[0] == 1002


def test_an_application_that_raises_closes_with_1011(server: Server) -> None:
    with connect(server.ws, compression=None) as client:
        client.send("raise")
        assert ended(client)[0] == 1011


def test_an_application_that_returns_closes_with_1000(server: Server) -> None:
    with connect(server.ws, compression=None) as client:
        client.send("return")
        assert ended(client)[0] == 1000


def test_the_application_hears_the_code_the_client_closed_with(server: Server) -> None:
    with connect(server.ws, compression=None) as client:
        client.close(4321, "bye from the client")
    server.wait_for_log("disconnect 4321 bye from the client")


def test_a_client_that_vanishes_is_reported_as_1006() -> None:
    with Server("commands") as server:
        Peer(server).socket.close()
        server.wait_for_log("disconnect 1006")


def test_empty_messages_pass_in_both_directions() -> None:
    with Server("echo") as server, connect(server.ws, compression=None) as client:
        client.send("")
        client.send(b"")
        client.send("after")
        assert [client.recv(timeout=20) for _ in range(3)] == ["", b"", "after"]


def test_pings_are_answered_and_a_silent_peer_is_cut_with_4408() -> None:
    with (
        Server("commands", "--ping-interval=1", "--ping-timeout=2", "--close-timeout=0.5") as server,
        Peer(server) as silent,
    ):
        with connect(server.ws, compression=None) as lively:
            opcode, payload = silent.frame()
            assert (opcode, payload) == (9, b"")
            assert silent.close_frame() == (4408, "heartbeat")
            lively.send("still here")
            assert lively.recv(timeout=20) == "still here"
        server.wait_for_log("disconnect 4408 heartbeat")


def test_a_peer_that_never_answers_a_close_is_cut_all_the_same() -> None:
    with Server("commands", "--close-timeout=0.5") as server, Peer(server) as peer:
        peer.send(0x81, b"close 4000 stubborn")
        assert peer.close_frame() == (4000, "stubborn")
        with pytest.raises(ConnectionError):
            peer.frame()
        server.wait_for_log("disconnect 4000 stubborn")
