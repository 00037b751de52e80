"""A whole deployment on free ports: Valkey, bridges, gateways and a database, all real."""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import redis
import redis.asyncio

from ginforge.embedded import EmbeddedValkey, free_port
from tests.integration.programs import MANAGE, Program, manage, wait_until

SIGNING_KEY = "integration-signing-key-0123456789-abcdefgh"


def production_environment(**more: str) -> dict[str, str]:
    """Return the environment of a production process (DEBUG off), with ``more`` on top."""
    return {
        "DJANGO_SETTINGS_MODULE": "ginforge.settings",
        "ENV_FILE": "",
        "DEBUG": "0",
        "SECRET_KEY": "integration-secret-key-0123456789-abcdefghij",
        "JWT_SIGNING_KEY": SIGNING_KEY,
        "ALLOWED_HOSTS": "127.0.0.1,localhost",
        **more,
    }


def make_token(user_id: str | int, *, ttl: float = 3600, key: str = SIGNING_KEY, **claims: Any) -> str:
    """Mint an access token; further claims (``username``, ``is_staff``, ``rooms``) as keywords."""
    now = time.time()
    payload = {
        "token_type": "access",
        "user_id": user_id,
        "username": f"name-{user_id}",
        "iat": int(now),
        "exp": int(now + ttl),
        "jti": uuid.uuid4().hex,
    }
    return jwt.encode({**payload, **claims}, key, algorithm="HS256")


def get(url: str, *, token: str | None = None, timeout: float = 10.0) -> tuple[int, str]:
    """GET ``url`` and return (status, body); (0, reason) when nobody answers."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return 0, str(error)


class Gateway(Program):
    """``manage.py rungateway`` on a free port."""

    def __init__(self, env: Mapping[str, str], *, workers: int = 1, name: str = "gateway") -> None:
        self.port = free_port()
        command = [*MANAGE, "rungateway", "--host", "127.0.0.1", "--port", str(self.port)]
        super().__init__(name, [*command, *(["--workers", str(workers)] if workers > 1 else [])], env)

    @property
    def url(self) -> str:
        """HTTP base URL without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """WebSocket URL without a token."""
        return f"ws://127.0.0.1:{self.port}/ws"

    def ws(self, user_id: str | int, **claims: Any) -> str:
        """Return a WebSocket URL that carries a fresh token of this user."""
        return f"{self.ws_url}?token={make_token(user_id, **claims)}"

    def is_ready(self) -> bool:
        """Say whether ``/readyz`` answers 200."""
        return get(f"{self.url}/readyz")[0] == 200

    def wait_until_ready(self) -> None:
        """Wait for ``/readyz``; fails at once, with the log, when the process ends."""

        def ready() -> bool:
            assert self.alive, f"{self.name} ended:\n{self.log[-4000:]}"
            return self.is_ready()

        wait_until(ready, f"/readyz of {self.name}; it says {get(f'{self.url}/readyz')}")


class Stack:
    """Valkey + bridges + gateways over one database; ``gateway`` and ``bridge`` are the first of each.

    ``env`` is what every process got; ``add_gateway`` and ``add_bridge`` start more.
    """

    def __init__(self, directory: Path, database: Path, env: Mapping[str, str] | None = None) -> None:
        self.valkey = EmbeddedValkey(directory=directory / "valkey")
        shutil.copy(database, directory / "db.sqlite3")
        own = {"REDIS_URL": self.valkey.url, "DATABASE_URL": f"sqlite:///{directory / 'db.sqlite3'}"}
        self.env = production_environment(**{**own, **(env or {})})
        self.gateways: list[Gateway] = []
        self.bridges: list[Program] = []

    @property
    def gateway(self) -> Gateway:
        """The first gateway."""
        return self.gateways[0]

    @property
    def bridge(self) -> Program:
        """The first bridge."""
        return self.bridges[0]

    @property
    def redis_url(self) -> str:
        """Where other services publish."""
        return self.valkey.url

    @property
    def url(self) -> str:
        """HTTP base URL of the first gateway."""
        return self.gateway.url

    @property
    def ws_url(self) -> str:
        """WebSocket URL of the first gateway, without a token."""
        return self.gateway.ws_url

    def ws(self, user_id: str | int, **claims: Any) -> str:
        """WebSocket URL of the first gateway with a fresh token of this user."""
        return self.gateway.ws(user_id, **claims)

    def add_gateway(self, *, workers: int = 1, **env: str) -> Gateway:
        """Start one more gateway; not yet ready when this returns."""
        gateway = Gateway({**self.env, **env}, workers=workers, name=f"gateway-{len(self.gateways) + 1}")
        gateway.start()
        self.gateways.append(gateway)
        return gateway

    def add_bridge(self, **env: str) -> Program:
        """Start one more bridge; not yet reading when this returns."""
        bridge = Program(f"bridge-{len(self.bridges) + 1}", [*MANAGE, "runbridge"], {**self.env, **env}).start()
        self.bridges.append(bridge)
        return bridge

    def start(self, *, gateways: int = 1, bridges: int = 1, workers: int = 1) -> Stack:
        """Start everything and wait until every gateway is ready."""
        self.valkey.start()
        for _ in range(bridges):
            self.add_bridge()
        for _ in range(gateways):
            self.add_gateway(workers=workers)
        for gateway in self.gateways:
            gateway.wait_until_ready()
        return self

    def redis(self) -> redis.Redis:
        """Return a new blocking Redis client."""
        return redis.Redis.from_url(self.redis_url)

    def publish(self, channel: str, message: Any) -> int:
        """PUBLISH, as another service would; ``message`` is sent as JSON unless it is bytes."""
        payload = message if isinstance(message, bytes) else json.dumps(message, ensure_ascii=False).encode()
        with self.redis() as client:
            return int(client.publish(channel, payload))

    def manage(self, *arguments: str) -> str:
        """Run a ``manage.py`` command in this deployment and return its stdout."""
        return manage(*arguments, env=self.env)

    def close(self) -> None:
        """Stop everything."""
        for program in [*self.gateways, *self.bridges]:
            program.kill()
            program.close()
        self.valkey.close()
