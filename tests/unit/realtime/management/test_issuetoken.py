from __future__ import annotations

import io
import time

import pytest
from django.core.management import CommandError, call_command

from realtime.auth import Principal, get_verifier


def issue(*arguments: str) -> Principal:
    out = io.StringIO()
    call_command("issuetoken", *arguments, stdout=out)
    return get_verifier().verify(out.getvalue().strip())


def test_the_token_is_good_for_any_user_id() -> None:
    principal = issue("user:七")
    assert (principal.user_id, principal.username, principal.is_staff) == ("user:七", "user:七", False)
    assert principal.expires_at - time.time() == pytest.approx(3600, abs=60)


def test_name_role_and_lifetime_can_be_given() -> None:
    principal = issue("7", "--username", "Ada", "--staff", "--ttl", "60")
    assert (principal.user_id, principal.username, principal.is_staff) == ("7", "Ada", True)
    assert principal.expires_at - time.time() < 61


@pytest.mark.parametrize("bad", [["7", "--ttl", "0"], ["7", "--ttl", "-5"], [""], ["x" * 513], ["a\nb"]])
def test_a_token_the_gateway_would_refuse_is_not_issued(bad: list[str]) -> None:
    with pytest.raises(CommandError):
        issue(*bad)
