"""The ginforge.direct extension on real sockets: shared frames, bounded buffers, pauses."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.integration.programs import wait_until
from tests.integration.serving import Peer, Server

MEGABYTE = 1 << 20


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("fan_out", "--close-timeout=1") as server:
        yield server


def numbers_until_end(client: ClientConnection, into: list[int]) -> None:
    while (message := client.recv(timeout=60)) != "end":
        into.append(int(str(message).partition(" ")[0]))


def test_one_frame_reaches_every_connection(server: Server) -> None:
    clients = [connect(server.ws, compression=None, legacy=True) for _ in range(20)]
    wait_until(lambda: server.get()["open"] == 20, "20 connections")
    clients[0].send("to everybody é")
    assert [client.recv(timeout=20) for client in clients] == ["to everybody é"] * 20
    for client in clients:
        client.close()


def flooded(peer: Peer, limit: int) -> int:
    """Send until the server takes no more, or ``limit`` bytes; return how many went out."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < limit:
            peer.send(0x81, b"x" * 65_536)
            sent += 65_536
    return sent


@pytest.mark.parametrize("size", [1, 125, 126, 65_535, 65_536, 400_000])
def test_messages_of_every_length_encoding_pass_whole(server: Server, size: int) -> None:
    with connect(server.ws, compression=None, max_size=None) as client:
        client.send("x" * size)
        assert client.recv(timeout=20) == "x" * size


def test_a_reader_that_stops_is_cut_while_memory_stays_bounded_and_others_get_everything(server: Server) -> None:
    with connect(server.ws, compression=None) as healthy, Peer(server, "/stuck", receive_buffer=4096) as stuck:
        before = server.get()["rss_kb"]
        got: list[int] = []
        reader = threading.Thread(target=numbers_until_end, args=(healthy, got))
        reader.start()
        highest = 0
        # 200 MB in all; the stuck one reads nothing after its handshake.
        healthy.send("flood 3200 65536")
        while reader.is_alive():
            state = server.get()
            highest = max(highest, state["rss_kb"] - before)
            reader.join(0.05)
        wait_until(lambda: server.get()["open"] == 1, "the cut")
        state = server.get()
        assert got == list(range(3200))
        assert state["overflowed"] >= 1
        assert (state["buffered"], state["slow"]) == (0, 0)
        assert highest < 24_000, "KB more than before the flood"
        with pytest.raises(ConnectionError):
            stuck.read_all()


def test_a_slow_reader_that_is_cut_sees_1013_once_it_reads_on() -> None:
    with (
        Server("fan_out", "--close-timeout=30", "--write-limit=200000") as server,
        connect(server.ws, compression=None) as healthy,
        Peer(server, "/stuck", receive_buffer=4096) as slow,
    ):
        got: list[int] = []
        healthy.send("flood 200 65536")
        numbers_until_end(healthy, got)
        assert got == list(range(200))
        assert slow.close_frame()[0] == 1013


def test_what_waits_for_a_slow_reader_is_shown_and_arrives_in_order(server: Server) -> None:
    with connect(server.ws, compression=None) as healthy, Peer(server, "/stuck", receive_buffer=4096) as slow:
        got: list[int] = []
        # More than the kernel takes for a peer with such a small window, less than the limit on top of it.
        healthy.send("flood 50 65536")
        numbers_until_end(healthy, got)
        state = server.get()
        assert state["slow"] == 1
        assert 0 < state["buffered"] <= MEGABYTE + 65_546
        seen = []
        while (payload := slow.frame()[1]) != b"end":
            seen.append(int(payload.partition(b" ")[0]))
        assert seen == list(range(50))
        wait_until(lambda: server.get()["slow"] == 0, "the buffer to empty")


def test_one_message_larger_than_the_limit_is_no_reason_to_cut() -> None:
    with (
        Server("fan_out", "--write-limit=100000") as server,
        connect(server.ws, compression=None, max_size=None) as healthy,
        Peer(server, "/stuck", receive_buffer=4096) as slow,
    ):
        healthy.send("flood 1 7000000")
        assert len(str(healthy.recv(timeout=20))) > 7_000_000
        assert len(slow.frame()[1]) > 7_000_000


def test_reading_pauses_when_the_application_says_so_and_nothing_is_lost(server: Server) -> None:
    with connect(f"{server.ws}/held", compression=None) as held, connect(server.ws, compression=None) as other:
        for number in range(5):
            held.send(f"message-{number}")
        for number in range(5):
            server.wait_for_log(f"held message-{number}")
            assert f"held message-{number + 1}" not in server.log
            other.send("go")


def test_an_application_that_does_not_read_stops_its_client() -> None:
    with Server("lazy", "--drain-timeout=1") as server, Peer(server) as peer:
        server.wait_for_log("accepted")
        peer.socket.settimeout(1)
        assert flooded(peer, 100 * MEGABYTE) < 32 * MEGABYTE


def test_a_closed_connection_is_freed_without_the_garbage_collector(server: Server) -> None:
    clients, vanishing = [Peer(server) for _ in range(10)], [Peer(server) for _ in range(10)]
    wait_until(lambda: server.get()["sockets"] == 20, "20 connections")
    for client in clients:
        client.send(0x88, b"\x03\xe8")
    for peer in vanishing:
        peer.socket.close()
    for client in clients:
        client.socket.close()
    # The server collects cycles once an hour; anything in one would still be counted.
    wait_until(lambda: server.get()["sockets"] == 0, "their end")


def test_a_flood_of_small_frames_is_answered_in_full_and_in_order(server: Server) -> None:
    with Peer(server) as peer:
        burst = b"".join(b"\x81\x84\0\0\0\0%04d" % number for number in range(5000))
        sender = threading.Thread(target=peer.socket.sendall, args=(burst,))
        sender.start()
        assert [int(peer.frame()[1]) for _ in range(5000)] == list(range(5000))
        sender.join()
