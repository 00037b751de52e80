"""KeySet: public keys from a file or a URL, of which a token's kid only chooses one."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from realtime.auth import InvalidToken, TokenRules, TokenVerifier
from realtime.auth.jwks import MAX_BYTES, KeySet, KeySetError, parse
from realtime.codes import Unavailable

OLD, NEW, FOREIGN = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3))


def entry(key: rsa.RSAPrivateKey, kid: str | None, **more: Any) -> dict[str, Any]:
    found = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {**found, **({"kid": kid} if kid else {}), **more}


def token(key: rsa.RSAPrivateKey, **headers: Any) -> str:
    claims = {"token_type": "access", "user_id": "u1", "exp": int(time.time()) + 60}
    return jwt.encode(claims, key, algorithm="RS256", headers=headers)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write(*entries: dict[str, Any]) -> str:
        path = tmp_path / "jwks.json"
        path.write_text(json.dumps({"keys": entries}))
        return str(path)

    return write


def verifier(source: str, **more: Any) -> TokenVerifier:
    made = TokenVerifier(TokenRules(algorithm="RS256", keys=(), jwks=source, **more))
    assert made.key_set is not None
    made.key_set.load()
    return made


def test_every_key_of_the_set_verifies_with_and_without_a_kid(write) -> None:
    made = verifier(write(entry(NEW, "new"), entry(OLD, "old")))
    for good in (token(NEW, kid="new"), token(OLD, kid="old"), token(OLD)):
        assert made.verify(good).user_id == "u1"


@pytest.mark.parametrize("kid", ["old", "../../etc/passwd", "'; DROP TABLE", "http://evil/", ""])
def test_a_kid_never_makes_a_wrong_key_right(write, kid: str) -> None:
    made = verifier(write(entry(NEW, "new"), entry(OLD, "old")))
    with pytest.raises(InvalidToken):
        made.verify(token(FOREIGN, kid=kid))
    with pytest.raises(InvalidToken):
        made.verify(token(NEW, kid="old"))


def test_keys_that_a_token_brings_along_are_not_looked_at(write) -> None:
    made = verifier(write(entry(NEW, "new")))
    brought = entry(FOREIGN, "mine")
    for headers in ({"jwk": brought}, {"jku": "http://127.0.0.1:1/jwks"}, {"x5u": "http://127.0.0.1:1/"}):
        with pytest.raises(InvalidToken):
            made.verify(token(FOREIGN, **headers))


def test_keys_for_other_uses_other_algorithms_and_private_ones_are_left_out() -> None:
    other = jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
    private = jwt.algorithms.RSAAlgorithm.to_jwk(OLD, as_dict=True)
    symmetric = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"}
    entries = [entry(OLD, "a", use="enc"), entry(OLD, "b", alg="RS512"), other, private, symmetric, entry(NEW, "c")]
    assert [key.kid for key in parse(json.dumps({"keys": entries}).encode(), "RS256")] == ["c"]


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": []}', b'{"keys": [1]}', b'{"keys": [{"kty": "RSA"}]}', b"[" * 9999],
)
def test_what_is_no_key_set_is_refused(text: bytes) -> None:
    with pytest.raises(KeySetError):
        parse(text, "RS256")


@pytest.mark.parametrize(
    ("source", "algorithm"),
    [("http://login.example.com/jwks", "RS256"), ("ftp://127.0.0.1/jwks", "RS256"), ("/etc/jwks.json", "HS256")],
)
def test_a_source_that_anybody_could_forge_is_refused(source: str, algorithm: str) -> None:
    with pytest.raises(ValueError, match="key set"):
        KeySet(source, algorithm)


def test_a_rotated_key_is_found_and_the_old_one_forgotten(write) -> None:
    made = verifier(write(entry(OLD, "old")), jwks_ttl=0.0)
    write(entry(NEW, "new"))
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            assert made.verify(token(NEW, kid="new")).user_id == "u1"
            break
        except InvalidToken:
            time.sleep(0.01)
    with pytest.raises(InvalidToken):
        made.verify(token(OLD, kid="old"))


def test_keys_go_on_while_their_source_is_gone(write) -> None:
    source = write(entry(OLD, "old"))
    made = verifier(source, jwks_ttl=0.0)
    Path(source).unlink()
    for _ in range(3):
        assert made.verify(token(OLD)).user_id == "u1"


def test_without_any_key_read_tokens_are_neither_good_nor_bad(tmp_path: Path) -> None:
    made = TokenVerifier(TokenRules(algorithm="RS256", keys=(), jwks=str(tmp_path / "absent.json")))
    with pytest.raises(Unavailable):
        made.verify(token(OLD))


class Source(http.server.BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, tuple[int, bytes]]] = {}

    def do_GET(self) -> None:
        status, body = self.answers[self.path]
        self.send_response(status)
        self.send_header("Location", "/good")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def source() -> Iterator[str]:
    good = json.dumps({"keys": [entry(NEW, "new")]}).encode()
    Source.answers = {
        "/good": (200, good),
        "/moved": (302, b""),
        "/large": (200, b" " * (MAX_BYTES + 1)),
        "/bad": (500, b""),
    }
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Source) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_keys_come_over_http_from_the_own_machine(source: str) -> None:
    assert verifier(f"{source}/good").verify(token(NEW, kid="new")).user_id == "u1"


@pytest.mark.parametrize("path", ["/moved", "/large", "/bad"])
def test_a_source_that_redirects_floods_or_fails_gives_no_keys(source: str, path: str) -> None:
    with pytest.raises(KeySetError):
        KeySet(source + path, "RS256").load()
