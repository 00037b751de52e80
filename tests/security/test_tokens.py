"""Tokens made to deceive (RFC 8725), and where a token must never turn up."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.integration.clients import Client
from tests.integration.programs import Program
from tests.integration.stack import SIGNING_KEY, Stack, get, make_token
from tests.security.observing import fresh, post

pytestmark = pytest.mark.integration

PRIVATE = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = PRIVATE.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def claims(**more: Any) -> dict[str, Any]:
    return {"token_type": "access", "user_id": "7", "exp": int(time.time()) + 600, **more}


def part(value: Any) -> str:
    return (
        base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode())
        .rstrip(b"=")
        .decode()
    )


def hs256(header: dict[str, Any], key: bytes = SIGNING_KEY.encode(), **more: Any) -> str:
    """Sign with a header of one's own."""
    text = f"{part({'typ': 'JWT', **header})}.{part(claims(**more))}"
    return f"{text}.{part(hmac.digest(key, text.encode(), hashlib.sha256))}"


FOREIGN_JWK = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE.public_key()))

FORGED: dict[str, Callable[[], str]] = {
    "alg none": lambda: f"{part({'alg': 'none'})}.{part(claims())}.",
    "alg nOnE": lambda: f"{part({'alg': 'nOnE'})}.{part(claims())}.",
    "alg none with a signature": lambda: hs256({"alg": "none"}),
    "no alg": lambda: hs256({}),
    "another HMAC": lambda: jwt.encode(claims(), SIGNING_KEY * 2, algorithm="HS512"),
    "RS256 where HS256 is expected": lambda: jwt.encode(claims(), PRIVATE, algorithm="RS256"),
    "a public key as HMAC secret": lambda: hs256({"alg": "HS256"}, PEM),
    "an empty HMAC secret": lambda: hs256({"alg": "HS256"}, b""),
    "kid of a file": lambda: hs256({"alg": "HS256", "kid": "/dev/null"}, b""),
    "kid with SQL": lambda: hs256({"alg": "HS256", "kid": "x' UNION SELECT 'key"}, b"key"),
    "its own jwk": lambda: jwt.encode(claims(), PRIVATE, algorithm="RS256", headers={"jwk": FOREIGN_JWK}),
    "its own jku": lambda: jwt.encode(claims(), PRIVATE, algorithm="RS256", headers={"jku": "http://127.0.0.1:9/k"}),
    "a critical header nobody knows": lambda: hs256({"alg": "HS256", "crit": ["b64"], "b64": False}),
    "expired": lambda: hs256({"alg": "HS256"}, exp=1),
    "exp as text": lambda: hs256({"alg": "HS256"}, exp="never"),
    "exp beyond all numbers": lambda: hs256({"alg": "HS256"}, exp=10**400),
    "not yet": lambda: hs256({"alg": "HS256"}, nbf=int(time.time()) + 600),
    "refresh": lambda: hs256({"alg": "HS256"}, token_type="refresh"),
    "user_id as an object": lambda: hs256({"alg": "HS256"}, user_id={"$ne": ""}),
    "user_id with a line break": lambda: hs256({"alg": "HS256"}, user_id="7\n8"),
    "user_id true": lambda: hs256({"alg": "HS256"}, user_id=True),
    "user_id of 513 characters": lambda: hs256({"alg": "HS256"}, user_id="x" * 513),
    "over 16 KB, signed": lambda: hs256({"alg": "HS256"}, padding="x" * 13_000),
    "16 KB of nothing": lambda: "a" * 16_385,
    "dots": lambda: "." * 300,
    "deeply nested": lambda: f"{part(b'[' * 3000)}.{part(b'[' * 3000)}.x",
    "not ASCII": lambda: "e\u00e9.\u00e9.\u00e9",
}


async def refusal(stack: Stack, url: str, **options: Any) -> tuple[Any, Any]:
    client = await Client(url, **options).open()
    closed = await client.wait_closed()
    return client.messages[0]["content"], closed


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_gets_the_one_answer_of_every_bad_token(stack: Stack, name: str) -> None:
    usual = await refusal(stack, f"{stack.ws_url}?token=nonsense")
    assert usual == ({"code": 401, "message": usual[0]["message"], "level": "error"}, (4401, "unauthorized"))
    token = FORGED[name]()
    assert await refusal(stack, f"{stack.ws_url}?token={urllib.parse.quote(token)}") == usual
    if token.isascii():
        assert await refusal(stack, stack.ws_url, additional_headers={"Authorization": f"Bearer {token}"}) == usual
    assert "Traceback" not in stack.gateway.log


async def test_issuer_and_audience_are_checked_when_they_are_set(start_stack: Callable[..., Stack]) -> None:
    stack = start_stack(env={"JWT_ISSUER": "https://login.example.com", "JWT_AUDIENCE": "gateway"})
    good = {"iss": "https://login.example.com", "aud": "gateway"}
    async with Client(stack.ws("7", **good)) as client:
        assert client.messages[0]["type"] == "welcome"
    for wrong in ({**good, "iss": "https://evil.example.com"}, {**good, "aud": "other"}, {"iss": good["iss"]}, {}):
        assert (await refusal(stack, stack.ws("7", **wrong)))[1][0] == 4401


async def test_keys_rotate_by_a_list_and_by_a_key_set(start_stack: Callable[..., Stack], tmp_path: Path) -> None:
    older = "an-older-signing-key-0123456789-abcdefghijkl"
    stack = start_stack(env={"JWT_VERIFYING_KEYS": older})
    for key in (SIGNING_KEY, older):
        async with Client(f"{stack.ws_url}?token={make_token('7', key=key)}") as client:
            assert client.messages[0]["type"] == "welcome"
    keys = tmp_path / "jwks.json"
    keys.write_text(json.dumps({"keys": [{**FOREIGN_JWK, "kid": "k1"}]}))
    gateway = stack.add_gateway(JWT_ALGORITHM="RS256", JWT_JWKS=str(keys), JWT_VERIFYING_KEYS="")
    gateway.wait_until_ready()
    token = jwt.encode(claims(), PRIVATE, algorithm="RS256", headers={"kid": "k1"})
    async with Client(f"{gateway.ws_url}?token={token}") as client:
        assert client.messages[0]["type"] == "welcome"
    confused = hs256({"alg": "HS256", "kid": "k1"}, PEM)
    for bad in (confused, jwt.encode(claims(), PRIVATE, algorithm="RS256", headers={"kid": "k2"}), make_token("7")):
        assert (await refusal(stack, f"{gateway.ws_url}?token={bad}"))[1][0] == 4401


PRIVATE_REFERRERS = ("same-origin", "no-referrer", "strict-origin", "strict-origin-when-cross-origin")


def page(url: str, headers: dict[str, str]) -> tuple[str | None, str]:
    """GET and return (Referrer-Policy, body)."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.headers["Referrer-Policy"], answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.headers["Referrer-Policy"], error.read().decode()


async def test_a_token_turns_up_nowhere(start_stack: Callable[..., Stack]) -> None:
    """A canary goes every way a token can go, good and bad, with all logs open; then everything is searched."""
    stack = start_stack(env={"LOG_LEVEL": "DEBUG"}, gateways=2)
    user = fresh("canary")
    tokens = [make_token(user), make_token(user, ttl=-5), make_token(user, key=SIGNING_KEY * 2)]
    bodies = []
    for token in tokens:
        for path in ("/ws", "/", "/nothing-here", "/api/v1/notifications/", "/healthz", "/ws/online-users", "/%zz"):
            headers = {"Authorization": f"Bearer {token}", "Referer": f"http://x/?token={token}"}
            policy, body = await asyncio.to_thread(page, f"{stack.url}{path}?token={token}", headers)
            bodies.append(body)
            assert policy in (*PRIVATE_REFERRERS, None)
            assert policy or path != "/"
        bodies.append(str(post(f"{stack.url}/api/v1/auth/refresh/", {"refresh": token})))
        bodies.append(str(post(f"{stack.url}/api/v1/auth/logout/", {"refresh": token})))
        for options in (
            {"additional_headers": {"Authorization": f"Bearer {token}"}},
            {"subprotocols": ["bearer", token]},
        ):
            async with Client(stack.ws_url, **options) as client:
                bodies.append(str(client.messages))
        async with Client(f"{stack.ws_url}?token={token}") as client:
            if client.messages[0]["type"] == "welcome":
                bodies.append(str(await client.ask(type="refresh_token", content={"token": tokens[0]})))
                bodies.append(str(await client.ask(type="refresh_token", content={"token": tokens[1]})))
                bodies.append(str(await client.ask(type="chat", content=1)))
                order_rows = get(f"{stack.url}/api/v1/realtime/connections/", token=make_token("boss", is_staff=True))
                bodies.append(order_rows[1])
            bodies.append(str(client.messages))
    bodies.extend(get(f"{gateway.url}/metrics")[1] for gateway in stack.gateways)
    with stack.redis() as redis:
        bodies.extend(str(key) + str(redis.dump(key)) for key in redis.scan_iter("*"))
    everything = {f"body {number}": body for number, body in enumerate(bodies)}
    programs: list[Program] = [*stack.gateways, *stack.bridges]
    everything |= {program.name: program.log for program in programs}
    database = stack.env["DATABASE_URL"].removeprefix("sqlite:///")
    everything |= {path.name: path.read_bytes().decode("latin-1") for path in Path(database).parent.glob("db.sqlite3*")}
    assert "level=debug" in stack.gateway.log
    for token in tokens:
        _, payload, signature = token.split(".")
        for secret in (token, payload, signature):
            assert [name for name, text in everything.items() if secret in text] == []
