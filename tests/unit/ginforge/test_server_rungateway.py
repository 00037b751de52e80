from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

import pytest

from realtime.management.commands.rungateway import Command, server_arguments


def options(*arguments: str) -> dict[str, Any]:
    parser = ArgumentParser()
    Command().add_arguments(parser)
    return vars(parser.parse_args(arguments))


def test_host_and_port_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")
    monkeypatch.setenv("PORT", "9000")
    chosen = options()
    assert (chosen["host"], chosen["port"], chosen["workers"]) == ("0.0.0.0", 9000, 1)


def test_flags_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "9000")
    assert options("--port", "1234")["port"] == 1234


def test_the_gateways_settings_reach_the_server(settings: Any) -> None:
    settings.REALTIME = {"heartbeat": 7, "heartbeat_timeout": 21, "write_limit": 5000, "max_message_size": 1000}
    arguments = server_arguments(options("--workers", "3"))
    assert {
        "--ping-interval=7",
        "--ping-timeout=21",
        "--write-limit=5000",
        "--websocket-max-message-size=1000",
        "--workers=3",
    } <= set(arguments)
    assert arguments[-1] == "ginforge.asgi:application"
