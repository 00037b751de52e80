from __future__ import annotations

import stat
from pathlib import Path

import pytest

from ginforge.key_material import development_secret, refusal, weakness

GOOD = "3b9e0f7c5d2a4861b0c9d8e7f6a5b4c3"


@pytest.mark.parametrize(
    ("secret", "complaint"),
    [
        ("", "is missing"),
        ("short", "is shorter than 32 bytes"),
        ("django-insecure-" + GOOD, "is one of Django's insecure defaults"),
        ("a" * 64, "repeats too few characters"),
        (GOOD, None),
    ],
)
def test_a_weak_secret_is_named_for_what_it_is(secret: str, complaint: str | None) -> None:
    assert weakness(secret) == complaint


def test_the_refusal_is_one_line_that_names_each_variable_and_no_secret() -> None:
    line = refusal({"SECRET_KEY": "hunter2", "JWT_SIGNING_KEY": ""})
    assert line is not None
    assert "\n" not in line
    assert "SECRET_KEY is shorter" in line
    assert "JWT_SIGNING_KEY is missing" in line
    assert "hunter2" not in line


def test_good_secrets_are_not_refused() -> None:
    assert refusal({"SECRET_KEY": GOOD, "JWT_SIGNING_KEY": GOOD}) is None


def test_development_secrets_stay_the_same_over_restarts_and_are_private(tmp_path: Path) -> None:
    folder = tmp_path / ".dev"
    first = development_secret(folder, "JWT_SIGNING_KEY")
    assert development_secret(folder, "JWT_SIGNING_KEY") == first
    assert development_secret(folder, "SECRET_KEY") != first
    assert stat.S_IMODE((folder / "secrets.json").stat().st_mode) == 0o600
    assert weakness(first) is None


def test_a_folder_that_cannot_be_written_still_gives_a_secret(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    assert weakness(development_secret(blocker / ".dev", "SECRET_KEY")) is None
