"""What a ``make run`` is to start, read from the environment."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import environ

from ginforge.embedded import free_port

ROOT: Final = Path(__file__).resolve().parents[2]
_REACHABLE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 (told apart, not bound)


class CannotRun(RuntimeError):
    """Something outside the project stands in the way; the message is one line for the developer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to start. ``redis_url`` is None when the embedded Valkey is to be used."""

    host: str
    port: int
    redis_url: str | None
    debug: bool
    state: Path
    """Where development keeps its secrets and the embedded Valkey's data."""

    @property
    def url(self) -> str:
        """Base URL to open in a browser on this machine."""
        host = _REACHABLE.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def prepare_environment() -> Plan:
    """Read ``.env`` and the environment, switch DEBUG on unless set, and check the port.

    Raises ``CannotRun`` when the port is taken or no number.
    """
    env_file = os.environ.get("ENV_FILE", str(ROOT / ".env"))
    if env_file:
        environ.Env.read_env(env_file)
    os.environ.setdefault("DEBUG", "1")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ginforge.settings")
    os.environ["PYTHONUNBUFFERED"] = "1"
    env = environ.Env()
    host = env.str("HOST", default="127.0.0.1")
    port = _port(env.str("PORT", default="8080"))
    _check_port(host, port)
    redis_url = env.str("REDIS_URL", default="") or None
    state = Path(env.str("DEVELOPMENT_DIR", default=str(ROOT / ".dev")))
    return Plan(host=host, port=port, redis_url=redis_url, debug=env.bool("DEBUG", default=True), state=state)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise CannotRun(f"PORT must be a number up to 65535 (0: any free one), not {text!r}")
    return int(text) or free_port()


def _check_port(host: str, port: int) -> None:
    try:
        family, kind, *_, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise CannotRun(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another port: make run PORT=8081"
        ) from None
