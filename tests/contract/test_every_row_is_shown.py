"""Every row of the protocol's tables has a test that names it with ``@pytest.mark.contract(section, row)``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from realtime.protocol import CLIENT_TYPES, SERVER_TYPES

TESTS = Path(__file__).parents[1]

ROWS = {
    "2.2": {
        "welcome",
        "ping/pong",
        "notification",
        "chat",
        "broadcast, system, refresh",
        "join_room, leave_room",
        "room_message",
        "user_status",
        "data_update",
        "error",
        "ack",
        "resume, resumed",
    },
    "2.3": {
        "websocket:broadcast",
        "websocket:user:<id>",
        "websocket:room:<room>",
        "websocket:notification:<id>",
    },
}
"""The tables: the WebSocket's message types (2.2) and the channels that other services publish on (2.3)."""

BEYOND_THE_TABLE = {"refresh_token", "token_expiring"}
"""Types that were added to the protocol later."""


def marked_rows() -> Iterator[tuple[str, str, str]]:
    """Yield (section, row, where) for every contract marker in the suite, read from the source."""
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "contract":
                section, row = (argument.value for argument in node.args if isinstance(argument, ast.Constant))
                yield str(section), str(row), f"{path.relative_to(TESTS)}:{node.lineno}"


def test_every_row_of_the_tables_has_a_test_and_every_marker_names_a_row():
    shown = {(section, row) for section, row, _ in marked_rows()}
    wanted = {(section, row) for section, rows in ROWS.items() for row in rows}
    assert wanted - shown == set(), "rows without a test"
    assert shown - wanted == set(), "markers that name no row"


def test_a_row_is_shown_by_real_processes():
    assert all(where.startswith("integration/") for _, _, where in marked_rows())


def test_the_rows_and_the_types_the_code_knows_are_the_same():
    types = {name for row in ROWS["2.2"] for part in row.split(", ") for name in part.split("/")}
    assert types == (CLIENT_TYPES | SERVER_TYPES) - BEYOND_THE_TABLE
