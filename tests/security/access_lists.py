"""A Valkey that knows the users of ``docker/valkey/users.acl.template``, and a deployment in which each part is one."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Self

import redis

from ginforge.embedded import free_port, valkey_command
from tests.integration.programs import MANAGE, ROOT, Program, wait_until
from tests.integration.stack import Gateway, production_environment

TEMPLATE = ROOT / "docker" / "valkey" / "users.acl.template"
USERS = ("admin", "publisher", "bridge", "gateway")


def password(user: str) -> str:
    return f"{user}-password-of-the-tests"


class GuardedValkey:
    """The server; a context manager."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        users = directory / "users.acl"
        text = TEMPLATE.read_text(encoding="utf-8")
        users.write_text(Template(text).substitute({f"{u.upper()}_PASSWORD": password(u) for u in USERS}))
        command = valkey_command(port=self.port, directory=directory, persist=False)
        self._program = Program("valkey", [*command, "--aclfile", str(users)])

    def url(self, user: str) -> str:
        return f"redis://{user}:{password(user)}@127.0.0.1:{self.port}/0"

    def client(self, user: str) -> redis.Redis:
        return redis.Redis.from_url(self.url(user))

    def refusals(self) -> list[str]:
        """What the server has refused, as "user: command or key"."""
        with self.client("admin") as admin:
            return [f"{_text(e['username'])}: {_text(e['reason'])} {_text(e['object'])}" for e in admin.acl_log()]

    def _answers(self) -> bool:
        assert self._program.alive, self._program.log
        try:
            with self.client("admin") as admin:
                return bool(admin.ping())
        except redis.ConnectionError:
            return False

    def __enter__(self) -> Self:
        self._program.start()
        wait_until(self._answers, "the guarded Valkey")
        return self

    def __exit__(self, *details: object) -> None:
        self._program.close()


class GuardedStack:
    """One bridge and one gateway, each with its own Redis user; a context manager."""

    def __init__(self, valkey: GuardedValkey, database: Path) -> None:
        self.env = production_environment(DATABASE_URL=f"sqlite:///{database}")
        bridge = {**self.env, "REDIS_URL": valkey.url("bridge")}
        self.gateway = Gateway({**self.env, "REDIS_URL": valkey.url("gateway")})
        self.bridge = Program("bridge", [*MANAGE, "runbridge"], bridge)

    def __enter__(self) -> Self:
        self.bridge.start()
        self.gateway.start()
        self.gateway.wait_until_ready()
        return self

    def __exit__(self, *details: object) -> None:
        self.gateway.close()
        self.bridge.close()


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
