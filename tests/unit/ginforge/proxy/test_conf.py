from __future__ import annotations

from typing import Any

import pytest

from ginforge.proxy.checks import check_proxy_settings
from ginforge.proxy.conf import Target, build_settings, parse_target


def test_a_target_may_have_a_weight_and_a_base_path() -> None:
    assert parse_target("http://a:1=3") == Target("http://a:1", 3)
    assert parse_target("https://a/base/") == Target("https://a/base", 1)
    assert parse_target("http://a:1").label == "a:1"


@pytest.mark.parametrize(
    "text", ["a:1", "ftp://a", "http://", "http://a:1=0", "http://a?x=1", "http://u:p@a", "http://a:0"]
)
def test_a_bad_target_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"base URL|weight|port"):
        parse_target(text)


def test_a_route_takes_the_general_settings_and_its_own() -> None:
    options = {"auth": "optional", "max_body": 5, "routes": {"admin": {"auth": "staff"}}}
    conf = build_settings(options, {"admin": ["http://a:1"], "file": ["http://f:1"]})
    assert conf.routes["admin"].settings.auth == "staff"
    assert conf.routes["admin"].settings.max_body == 5
    assert conf.routes["user"].settings.auth == "optional"
    assert conf.routes["files"].targets == (Target("http://f:1"),)


@pytest.mark.parametrize(
    "options",
    [
        {"colour": 1}, {"auth": "maybe"}, {"rate": "many"}, {"max_body": "5"}, {"max_body": -1}, {"websocket": 1},
        {"first_byte_timeout": 0}, {"total_timeout": 1.0}, {"routes": {"nobody": {}}}, {"health_path": "x"},
        {"routes": {"user": {"max_attempts": 1}}}, {"max_attempts": 0},
    ],
)  # fmt: skip
def test_a_wrong_option_is_a_system_check_error(settings: Any, options: dict[str, object]) -> None:
    settings.PROXY = options
    (problem,) = check_proxy_settings()
    assert problem.id == "proxy.E001"


def test_a_wrong_upstream_is_a_system_check_error(settings: Any) -> None:
    settings.UPSTREAMS = {"user": ["nonsense"]}
    assert [problem.id for problem in check_proxy_settings()] == ["proxy.E001"]


def test_the_defaults_are_right() -> None:
    assert check_proxy_settings() == []
