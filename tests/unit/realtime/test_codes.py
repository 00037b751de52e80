"""The tables of close codes and error codes are those of the contract."""

from __future__ import annotations

from realtime.codes import TERMINAL_CLOSE_CODES, CloseCode, ErrorCode, ProtocolError, RealtimeError


def test_the_close_codes_are_those_of_the_contract():
    contract = {1000, 1001, 1003, 1007, 1009, 1012, 1013, 4401, 4403, 4408, 4409, 4429}
    assert {int(code) for code in CloseCode} == contract | {1011}


def test_the_error_codes_are_those_of_the_contract():
    assert {400, 401, 403, 413, 422, 429, 503} <= {int(code) for code in ErrorCode}


def test_codes_after_which_a_client_stays_away():
    assert {int(code) for code in TERMINAL_CLOSE_CODES} == {1003, 1007, 1009, 4401, 4403, 4409, 4429}


def test_a_refusal_carries_what_the_client_is_told():
    error = ProtocolError(ErrorCode.INVALID, "no")
    assert (error.code, error.message, str(error), isinstance(error, RealtimeError)) == (422, "no", "no", True)
