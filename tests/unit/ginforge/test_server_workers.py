from __future__ import annotations

import socket
from pathlib import Path

from ginforge.server.workers import listen, split_arguments


def test_what_concerns_the_socket_is_kept_from_the_workers() -> None:
    options, rest = split_arguments(
        ["--workers=3", "-p", "8080", "--bind=::1", "--write-limit", "5", "-v", "0", "module:application"]
    )
    assert (options.workers, options.port, options.host) == (3, 8080, "::1")
    assert rest == ["--write-limit", "5", "-v", "0", "module:application"]


def test_the_socket_is_bound_before_any_worker_starts() -> None:
    options, _ = split_arguments(["-p", "0", "-b", "127.0.0.1"])
    with listen(options) as listening, socket.create_connection(listening.getsockname(), timeout=5):
        assert listening.getsockname()[0] == "127.0.0.1"


def test_a_unix_socket_that_was_left_behind_is_replaced(tmp_path: Path) -> None:
    options, _ = split_arguments(["-u", str(tmp_path / "s")])
    listen(options).close()
    with listen(options) as listening, socket.socket(socket.AF_UNIX) as client:
        client.connect(listening.getsockname())
