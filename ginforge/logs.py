"""Structured logs: one event a line, as key=value for people or JSON for machines."""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_SECRET_PATTERN: Final = re.compile(
    r"(?P<keep>[?&](?:token|access_token)=|\b[Bb]earer[ ,%20]+)[^\s&\"',;]+"
    r"|eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
)


def hide_tokens(text: str) -> str:
    """Replace bearer tokens, ``token=`` query values and anything shaped like a JWT."""
    return _SECRET_PATTERN.sub(lambda match: f"{match['keep'] or ''}[hidden]", text)


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Structlog processor that keeps tokens out of every value of an event, of objects such as requests too."""
    for key, value in event.items():
        text = value if isinstance(value, str) else repr(value)
        hidden = hide_tokens(text)
        if hidden != text:
            event[key] = hidden
    return event


def redact_access_log() -> None:
    """Keep tokens out of stock Daphne's access log, which bypasses ``logging`` and holds the query string."""
    from daphne.access import AccessLogGenerator

    write_entry = AccessLogGenerator.write_entry

    def write_redacted(self: Any, host: str, date: Any, request: str, **rest: Any) -> None:
        write_entry(self, host, date, hide_tokens(request), **rest)

    AccessLogGenerator.write_entry = write_redacted


class RequestLogFilter(logging.Filter):
    """Drops what Django says of a failed readiness probe, and tracebacks of requests that a client got wrong.

    The probe's answer holds the reason and comes again every few seconds; a 403 is not a fault of ours.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record, or keep it out."""
        status = getattr(record, "status_code", 0)
        path = getattr(getattr(record, "request", None), "path", "")
        if status == 503 and path in ("/readyz", "/healthz"):
            return False
        if 400 <= status < 500:
            record.exc_info = record.exc_text = None
        return True


_SHARED: Final[list[Any]] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def logging_config(*, level: str, json_lines: bool) -> dict[str, Any]:
    """Return ``settings.LOGGING``: everything to stderr through one structlog formatter."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"structured": {"()": structlog.stdlib.ProcessorFormatter, **_formatter(json_lines)}},
        "filters": {"requests": {"()": RequestLogFilter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"level": level, "propagate": True, "handlers": []},
            "django.request": {"filters": ["requests"]},
            "django.server": {"level": "WARNING", "propagate": True, "handlers": []},
            "daphne": {"level": "WARNING"},
            # Uvicorn's own handlers would write the query string, token and all, as it is.
            **{name: {"handlers": [], "propagate": True} for name in ("uvicorn", "uvicorn.access", "uvicorn.error")},
        },
    }


def _formatter(json_lines: bool) -> dict[str, Any]:
    renderer: Any
    if json_lines:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    else:
        renderer = structlog.processors.LogfmtRenderer(
            key_order=["timestamp", "level", "logger", "event"], drop_missing=True
        )
    return {
        "foreign_pre_chain": [*_SHARED, structlog.stdlib.ExtraAdder()],
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
    }
