"""TokenVerifier: what a token must be to name a holder."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from realtime.auth import InvalidToken, TokenRules, TokenVerifier

KEY = "a-signing-key-of-at-least-32-bytes!!"
OTHER_KEY = "another-signing-key-of-32-bytes-long"
VERIFIER = TokenVerifier(TokenRules(algorithm="HS256", keys=(KEY,)))


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    base = {"token_type": "access", "user_id": "u1", "exp": now + 60, "iat": now, "jti": "j1"}
    return {name: value for name, value in {**base, **changes}.items() if value is not ...}


def token(key: str = KEY, algorithm: str = "HS256", headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm, headers=headers)


def raw(header: Any, payload: Any, signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(payload).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def refusal(text: str, verifier: TokenVerifier = VERIFIER) -> str:
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(text)
    return caught.value.reason


def test_a_good_token_names_its_holder() -> None:
    principal = VERIFIER.verify(token(username="Ada", is_staff=True, rooms=["chat:*"]))
    assert (principal.user_id, principal.username, principal.is_staff) == ("u1", "Ada", True)
    assert (principal.jti, principal.rooms) == ("j1", ("chat:*",))
    assert principal.expires_at > time.time() >= principal.issued_at > 0


@pytest.mark.parametrize(
    ("given_id", "expected"),
    [
        (7, "7"),
        (-7, "-7"),
        (7.0, "7"),
        (1.5, "1.5"),
        ("007", "007"),
        ("nan", "nan"),
        ("用户", "用户"),
        ("x" * 512, "x" * 512),
    ],
)
def test_a_user_id_becomes_a_string(given_id: Any, expected: str) -> None:
    assert VERIFIER.verify(token(user_id=given_id)).user_id == expected


@pytest.mark.parametrize(
    "bad",
    [
        ...,
        None,
        "",
        True,
        False,
        [],
        ["u1"],
        {"id": 1},
        "x" * 513,
        "a\nb",
        "a\x00",
        "\x7f",
        "\x85",
        "\ud800",
        float("nan"),
        float("inf"),
    ],
)
def test_an_unfit_user_id_is_refused(bad: Any) -> None:
    assert refusal(token(user_id=bad)) == "claims"


@pytest.mark.parametrize("value", [1, "true", "True", None, [True], ...])
def test_only_a_literal_true_makes_staff(value: Any) -> None:
    assert VERIFIER.verify(token(is_staff=value)).is_staff is False


@pytest.mark.parametrize("bad", [None, "chat:*", {"chat": 1}, [1], [""], ["a\n"], ["x" * 513]])
def test_a_rooms_claim_that_is_no_list_of_patterns_is_refused(bad: Any) -> None:
    assert refusal(token(rooms=bad)) == "claims"


def test_an_empty_rooms_claim_means_no_rooms() -> None:
    assert VERIFIER.verify(token(rooms=[])).rooms == ()


@pytest.mark.parametrize("bad", [1, "", "x" * 256, "a\nb", ["j"]])
def test_an_unfit_token_id_is_refused(bad: Any) -> None:
    assert refusal(token(jti=bad)) == "claims"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": ...}, "claims"),
        ({"exp": None}, "claims"),
        ({"exp": "soon"}, "malformed"),
        ({"exp": float("inf")}, "malformed"),
        ({"exp": int(time.time()) - 1}, "expired"),
        ({"exp": True}, "expired"),
        ({"nbf": int(time.time()) + 86_400}, "early"),
        ({"nbf": "x"}, "malformed"),
        ({"iat": int(time.time()) + 86_400}, "early"),
        ({"iat": "x"}, "claims"),
        ({"token_type": "refresh"}, "type"),
        ({"token_type": ...}, "type"),
        ({"token_type": None}, "type"),
        ({"token_type": ["access"]}, "type"),
        ({"aud": "someone-else"}, "audience"),
    ],
)
def test_wrong_times_types_and_audiences_are_refused(changes: dict[str, Any], reason: str) -> None:
    assert refusal(token(**changes)) == reason


def test_untyped_tokens_pass_only_when_allowed_and_a_refresh_token_never() -> None:
    lenient = TokenVerifier(TokenRules(algorithm="HS256", keys=(KEY,), allow_untyped=True))
    assert lenient.verify(token(token_type=...)).user_id == "u1"
    assert refusal(token(token_type="refresh"), lenient) == "type"
    assert refusal(token(token_type=None), lenient) == "type"


def test_issuer_and_audience_are_held_to_the_settings() -> None:
    strict = TokenVerifier(TokenRules(algorithm="HS256", keys=(KEY,), issuer="us", audience="gateway"))
    assert strict.verify(token(iss="us", aud=["web", "gateway"])).user_id == "u1"
    assert refusal(token(aud="gateway"), strict) == "claims"
    assert refusal(token(iss="them", aud="gateway"), strict) == "issuer"
    assert refusal(token(iss="us"), strict) == "claims"
    assert refusal(token(iss="us", aud="web"), strict) == "audience"


@pytest.mark.parametrize(
    "name", ["none", "None", "nOnE", "NONE", "", None, 0, ["HS256"], {"a": 1}, "HS384", "RS256", "hs256"]
)
def test_the_header_cannot_choose_the_algorithm(name: Any) -> None:
    assert refusal(raw({"alg": name, "typ": "JWT"}, claims())) in ("algorithm", "malformed")


def test_a_signature_of_another_hash_is_refused() -> None:
    assert refusal(token(KEY * 2, algorithm="HS512")) == "algorithm"


@pytest.mark.parametrize(
    "header", [{"kid": "../../dev/null"}, {"jku": "https://evil.example/k"}, {"jwk": {"kty": "oct", "k": "AA"}}]
)
def test_key_hints_in_the_header_are_ignored(header: dict[str, Any]) -> None:
    assert refusal(token(OTHER_KEY, headers=header)) == "signature"
    assert VERIFIER.verify(token(headers=header)).user_id == "u1"


def test_a_public_key_is_never_an_hmac_secret() -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    verifier = TokenVerifier(TokenRules(algorithm="RS256", keys=(public.decode(),)))
    good = jwt.encode(claims(), private, algorithm="RS256")
    assert verifier.verify(good).user_id == "u1"
    _header, payload, _ = good.split(".")
    forged_header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()
    signature = hmac.new(public, f"{forged_header}.{payload}".encode(), hashlib.sha256).digest()
    forged = f"{forged_header}.{payload}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert refusal(forged, verifier) == "algorithm"


def test_while_a_key_is_rotated_tokens_of_either_key_pass() -> None:
    rotating = TokenVerifier(TokenRules(algorithm="HS256", keys=(KEY, OTHER_KEY)))
    assert rotating.verify(token(KEY)).user_id == rotating.verify(token(OTHER_KEY)).user_id == "u1"
    assert refusal(token("a-third-key-that-nobody-ever-listed!"), rotating) == "signature"


def test_the_algorithm_none_cannot_be_configured() -> None:
    with pytest.raises(ValueError, match="none"):
        TokenVerifier(TokenRules(algorithm="None", keys=("",)))


def test_a_huge_token_is_refused_before_it_is_decoded() -> None:
    assert refusal(token(padding="x" * 16_384)) == "malformed"


@pytest.mark.parametrize(
    "text",
    ["", ".", "..", "a.b.c", "Bearer x", "\x00", "é.é.é", "[" * 6000, raw([], {}), raw({"alg": "HS256"}, []), " "],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    assert refusal(text) in ("missing", "malformed", "signature")


def test_a_deeply_nested_header_is_refused() -> None:
    header = base64.urlsafe_b64encode(b"[" * 5000).rstrip(b"=").decode()
    assert refusal(f"{header}.e30.AA") == "malformed"


def test_the_refusal_holds_nothing_of_the_token() -> None:
    canary = token(OTHER_KEY, user_id="canary")
    with pytest.raises(InvalidToken) as caught:
        VERIFIER.verify(canary)
    assert canary not in str(caught.value)
    assert "canary" not in str(caught.value)


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_no_text_makes_the_verifier_raise_anything_else(text: str) -> None:
    refusal(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda x: st.lists(x) | st.dictionaries(st.text(), x),
)


@given(
    st.dictionaries(
        st.sampled_from(["user_id", "username", "is_staff", "jti", "rooms", "exp", "nbf", "iat", "aud", "token_type"]),
        JSON,
    )
)
def test_no_signed_claims_make_the_verifier_raise_anything_else(changes: dict[str, Any]) -> None:
    payload = jwt.PyJWS().encode(json.dumps({**claims(), **changes}).encode(), KEY, algorithm="HS256")
    try:
        principal = VERIFIER.verify(payload)
    except InvalidToken:
        return
    principal.user_id.encode()
    principal.username.encode()
    assert 1 <= len(principal.user_id) <= 512
