"""The browser client and the server agree about what stands in both."""

from __future__ import annotations

import re
from pathlib import Path

import realtime
from realtime.codes import TERMINAL_CLOSE_CODES, CloseCode
from realtime.conf import RealtimeSettings

STATIC = Path(realtime.__file__).parent / "static" / "realtime"


def test_the_client_stops_at_the_close_codes_the_server_calls_terminal() -> None:
    source = (STATIC / "client" / "codes.js").read_text()
    stops = {int(code) for code in re.findall(r"^ +\[(\d{4}),", source, re.MULTILINE)}
    stops.add(int(re.search(r"UNAUTHORIZED = (\d{4})", source)[1]))  # type: ignore[index]  # fails the test when absent
    assert stops & set(CloseCode) == TERMINAL_CLOSE_CODES


def test_the_client_refuses_what_the_server_would_close_for() -> None:
    limit = re.search(r"maxMessageBytes: ([\d_]+)", (STATIC / "client" / "options.js").read_text())
    assert limit is not None
    assert int(limit[1].replace("_", "")) == RealtimeSettings().max_message_size
