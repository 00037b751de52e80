from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ginforge.proxy.answers import Refusal
from ginforge.proxy.paths import raw_target, segment_of


def scope(raw: str, query: str = "") -> dict[str, object]:
    return {"path": unquote(raw), "raw_path": raw.encode(), "query_string": query.encode()}


@pytest.mark.parametrize(
    ("path", "segment"),
    [
        ("/api/v1/user", "user"), ("/api/v1/files/a", "files"), ("/api/v1/users/a", None),
        ("/api/v1/auth/token/", None),
        ("http://h/api/v1/user/", None), ("/x/api/v1/user/", None), ("/api/v1/file/x", None),
    ],
)  # fmt: skip
def test_only_the_services_paths_are_taken(path: str, segment: str | None) -> None:
    assert segment_of(path) == segment


@pytest.mark.parametrize(
    "raw", ["a/b", "a%20b", "%E4%BD%A0", "a;x=1", "a...b", "a..b", ".well-known", "100%25", "a//b", "%2e%2ex", ""]
)
def test_ordinary_paths_pass_as_written(raw: str) -> None:
    assert raw_target(scope(f"/api/v1/user/{raw}", "q=%2e%2e/"), "user") == f"/api/v1/user/{raw}?q=%2e%2e/"


@pytest.mark.parametrize(
    "raw",
    ["../admin", "a/..", "./a", "%2E./admin", "a%2Fb", "a%5cb", "..;x/y", "%2e%2e;/y", "%00", "%0d%0aX", "%7f", "%zz",
     "%2", "...", "%252e%252e", "%252f", "%25252f", "a\\b", "a#b", "a b", "a?b#c", "é"],
)  # fmt: skip
def test_ambiguous_paths_are_refused(raw: str) -> None:
    path, _, query = f"/api/v1/user/{raw}".partition("?")
    with pytest.raises(Refusal) as refused:
        raw_target(scope(path, query), "user")
    assert refused.value.status == 400


def test_a_service_named_in_disguise_is_refused() -> None:
    with pytest.raises(Refusal):
        raw_target(scope("/api/v1/%75ser/x"), "user")


@given(st.text(alphabet="./%2eEfF5cC;a\\", max_size=12))
def test_whatever_passes_stays_below_its_service(rest: str) -> None:
    raw = f"/api/v1/user/{rest}"
    try:
        target = raw_target(scope(raw), "user")
    except Refusal:
        return
    depth = 0
    for part in unquote(target.removeprefix("/api/v1/user/")).replace("\\", "/").split("/"):
        depth += -1 if part.partition(";")[0] == ".." else 1
        assert depth >= 0
