from __future__ import annotations

import io
import json
import logging
import logging.config
from collections.abc import Callable, Iterator

import pytest
from django.test import RequestFactory

from ginforge.logs import RequestLogFilter, hide_tokens, logging_config

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiNyJ9.c2lnbmF0dXJl"


@pytest.fixture
def logged() -> Iterator[Callable[..., str]]:
    """Give ``logged(json_lines, write)``: what ``write(logger)`` leaves in the log."""
    logger = logging.getLogger("tests.logs")

    def capture(json_lines: bool, write: Callable[[logging.Logger], object]) -> str:
        config = logging_config(level="INFO", json_lines=json_lines)
        stream = io.StringIO()
        handler = {**config["handlers"]["stderr"], "stream": stream}
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "formatters": config["formatters"],
                "handlers": {"stderr": handler},
                "loggers": {"tests.logs": {"handlers": ["stderr"], "level": "INFO", "propagate": False}},
            }
        )
        write(logger)
        return stream.getvalue()

    yield capture
    logger.handlers.clear()
    logger.propagate = True


def fail(logger: logging.Logger) -> None:
    try:
        raise ValueError(f"bad token {JWT}\nand a second line")
    except ValueError:
        logger.exception("it failed", extra={"user_id": "7"})


@pytest.mark.parametrize(
    "text",
    [
        f"GET /ws?token={JWT} HTTP/1.1",
        f"GET /ws?a=1&token={JWT}&b=2",
        f"Authorization: Bearer {JWT}",
        f"sec-websocket-protocol: bearer, {JWT}",
        "GET /ws?token=opaque-secret-c2lnbmF0dXJl",
        f"something odd: {JWT}",
    ],
)
def test_a_token_is_hidden_wherever_it_stands(text: str) -> None:
    hidden = hide_tokens(text)
    assert "c2lnbmF0dXJl" not in hidden
    assert "[hidden]" in hidden


def test_what_is_no_token_stays() -> None:
    text = "user 7 joined room chat:room001, token refused: expired"
    assert hide_tokens(text) == text


@pytest.mark.parametrize("json_lines", [True, False])
def test_an_event_is_one_line_even_with_a_traceback_and_holds_no_token(logged, json_lines: bool) -> None:
    text = logged(json_lines, fail)
    assert text.count("\n") == 1
    assert "ValueError" in text
    assert JWT not in text


def test_extra_values_are_fields(logged) -> None:
    event = json.loads(logged(True, lambda logger: logger.info("joined", extra={"user_id": "7", "room": "a:b"})))
    assert (event["event"], event["level"], event["user_id"], event["room"]) == ("joined", "info", "7", "a:b")


def test_text_lines_are_key_value_pairs(logged) -> None:
    line = logged(False, lambda logger: logger.info("%s joined", "ada", extra={"user_id": "7"}))
    assert 'event="ada joined"' in line
    assert "user_id=7" in line


def request_record(status: int, path: str) -> logging.LogRecord:
    request = RequestFactory().get(path)
    fields = {
        "msg": "event",
        "status_code": status,
        "request": request,
        "exc_info": (ValueError, ValueError("x"), None),
    }
    return logging.makeLogRecord(fields)


def test_a_failed_readiness_probe_is_not_logged_each_time() -> None:
    assert not RequestLogFilter().filter(request_record(503, "/readyz"))
    assert RequestLogFilter().filter(request_record(503, "/ws/stats"))


def test_a_clients_mistake_has_no_traceback_in_the_log_and_our_own_fault_has() -> None:
    refused, fault = request_record(403, "/admin/"), request_record(500, "/admin/")
    assert RequestLogFilter().filter(refused)
    assert RequestLogFilter().filter(fault)
    assert refused.exc_info is None
    assert fault.exc_info is not None
