"""Bridges as processes for the tests that need no gateway."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from ginforge.embedded import EmbeddedValkey
from realtime.keys import BRIDGES, DEAD_LETTERS, INGRESS_STREAM
from tests.integration.programs import MANAGE, Program, wait_until
from tests.integration.stack import production_environment


class BridgeRig:
    """One Valkey and any number of bridges; ``redis`` is a client of that Valkey."""

    def __init__(self, valkey: EmbeddedValkey, database: Path) -> None:
        self.valkey = valkey
        self.redis = redis.Redis.from_url(valkey.url)
        self.programs: list[Program] = []
        self._env = production_environment(REDIS_URL=valkey.url, DATABASE_URL=f"sqlite:///{database}")

    def start(self, *arguments: str, **env: str) -> Program:
        """Start a bridge; not yet reading when this returns."""
        name = f"bridge-{len(self.programs) + 1}"
        program = Program(name, [*MANAGE, "runbridge", *arguments], {**self._env, **env}).start()
        self.programs.append(program)
        return program

    def reports(self) -> list[dict[str, Any]]:
        """Return the heartbeats in Redis."""
        return [json.loads(report) for report in self.redis.hgetall(BRIDGES).values()]

    def roles(self) -> list[str]:
        """Return the roles of the bridges that run, sorted."""
        running = {program.pid for program in self.programs if program.alive}
        return sorted(report["role"] for report in self.reports() if report["pid"] in running)

    def wait_for_role(self, program: Program, role: str) -> None:
        """Wait until a bridge has this role."""

        def has_role() -> bool:
            assert program.alive, f"{program.name} ended:\n{program.log[-3000:]}"
            return any(report["pid"] == program.pid and report["role"] == role for report in self.reports())

        wait_until(has_role, f"{program.name} to be {role}")

    def start_active(self, *arguments: str, **env: str) -> Program:
        """Start a bridge and wait until it is the active one."""
        program = self.start(*arguments, **env)
        self.wait_for_role(program, "active")
        return program

    def start_standby(self, **env: str) -> Program:
        """Start a bridge and wait until it stands by and could take over without loss."""
        program = self.start(**env)
        self.wait_for_role(program, "standby")
        self.wait_until_in_step(program)
        return program

    def wait_until_in_step(self, program: Program) -> None:
        """Wait until a bridge has what the active one may not have published."""
        wait_until(
            lambda: any(report["pid"] == program.pid and report["in_step"] for report in self.reports()),
            f"{program.name} to be in step",
        )

    def publish(self, channel: str, *messages: Any) -> None:
        """PUBLISH over one connection, in order; bytes as they are, anything else as JSON."""
        with self.redis.pipeline(transaction=False) as pipe:
            for message in messages:
                pipe.publish(channel, message if isinstance(message, bytes) else json.dumps(message))
            pipe.execute()

    def add(self, channel: str, *messages: Any) -> None:
        """XADD to the durable ingress."""
        with self.redis.pipeline(transaction=False) as pipe:
            for message in messages:
                payload = message if isinstance(message, bytes) else json.dumps(message)
                pipe.xadd(INGRESS_STREAM, {"channel": channel, "message": payload})
            pipe.execute()

    def dead_letters(self) -> list[dict[str, str]]:
        """Return all dead letters, payloads as text."""
        entries: Any = self.redis.xrange(DEAD_LETTERS)
        return [{k.decode(): v.decode(errors="replace") for k, v in fields.items()} for _, fields in entries]

    def wait_for_dead_letters(self, count: int) -> list[dict[str, str]]:
        """Wait for that many dead letters and return all."""
        wait_until(lambda: self.redis.xlen(DEAD_LETTERS) >= count, f"{count} dead letters")
        return self.dead_letters()

    def close(self) -> None:
        """Stop all bridges."""
        for program in self.programs:
            program.kill()
            program.close()
        self.redis.close()


StartRig = Callable[..., BridgeRig]


@pytest.fixture
def rig(valkey: EmbeddedValkey, tmp_path: Path) -> Iterator[BridgeRig]:
    """Give a Valkey of this test's own and a way to start bridges on it."""
    bridges = BridgeRig(valkey, tmp_path / "db.sqlite3")
    yield bridges
    bridges.close()
