from __future__ import annotations

import socket
from pathlib import Path

import pytest

from ginforge.embedded import free_port
from ginforge.supervisor.banner import banner
from ginforge.supervisor.data_directory import DataDirectory
from ginforge.supervisor.login import Login
from ginforge.supervisor.plan import CannotRun, Plan, prepare_environment


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Give an environment without the variables that matter, put back afterwards."""
    for name in ("DEBUG", "HOST", "PORT", "REDIS_URL", "DEVELOPMENT_DIR", "PYTHONUNBUFFERED"):
        monkeypatch.setenv(name, "")  # so that the end of the test restores what the plan sets
        monkeypatch.delenv(name)
    monkeypatch.setenv("ENV_FILE", "")
    return monkeypatch


def test_debug_is_on_and_valkey_embedded_unless_set(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PORT", "0")
    plan = prepare_environment()
    assert (plan.host, plan.redis_url, plan.debug) == ("127.0.0.1", None, True)
    assert plan.port > 0


def test_an_env_file_counts_and_the_environment_wins(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "env").write_text(f"DEBUG=0\nPORT={free_port()}\nREDIS_URL=redis://file:6379/0\n")
    environment.setenv("ENV_FILE", str(tmp_path / "env"))
    environment.setenv("REDIS_URL", "redis://environment:6379/0")
    plan = prepare_environment()
    assert (plan.debug, plan.redis_url) == (False, "redis://environment:6379/0")


@pytest.mark.parametrize("port", ["eighty", "70000", "-1", "8080.5"])
def test_a_wrong_port_is_told_in_one_line(environment: pytest.MonkeyPatch, port: str) -> None:
    environment.setenv("PORT", port)
    with pytest.raises(CannotRun, match="PORT must be a number up to 65535") as refusal:
        prepare_environment()
    assert "\n" not in str(refusal.value)


def test_a_taken_port_is_told_with_a_way_out(environment: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        environment.setenv("PORT", str(other.getsockname()[1]))
        with pytest.raises(CannotRun, match="make run PORT="):
            prepare_environment()


def plan(**values: object) -> Plan:
    defaults = {"host": "127.0.0.1", "port": 8080, "redis_url": None, "debug": True, "state": Path(".dev")}
    return Plan(**{**defaults, **values})  # type: ignore[arg-type]  # a test's own defaults


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("::1", "http://[::1]:8080"),
        ("example.org", "http://example.org:8080"),
    ],
)
def test_the_url_is_one_a_browser_here_can_open(host: str, url: str) -> None:
    assert plan(host=host).url == url


def test_the_banner_holds_all_one_needs_to_try() -> None:
    text = banner(plan(), "redis://127.0.0.1:7777/0", Login(username="dev", password="pw", token="a.b.c"))
    for part in ("http://127.0.0.1:8080/", "ws://127.0.0.1:8080/ws", "dev / pw", "a.b.c", "redis://127.0.0.1:7777/0"):
        assert part in text


def test_the_banner_keeps_the_password_of_a_given_redis_to_itself() -> None:
    url = "redis://:hunter2@redis.example:6379/0"
    text = banner(plan(redis_url=url), url, None)
    assert "hunter2" not in text
    assert "${REDIS_URL" in text


def test_a_second_run_at_the_same_time_gets_a_data_directory_of_its_own(tmp_path: Path) -> None:
    with DataDirectory(tmp_path / "valkey") as first:
        with DataDirectory(tmp_path / "valkey") as second:
            assert first == tmp_path / "valkey"
            assert second != first
        assert not second.exists()
    with DataDirectory(tmp_path / "valkey") as third:
        assert third == first
