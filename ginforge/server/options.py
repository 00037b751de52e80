"""What can be set beyond Daphne's own flags, in one table for the command line and the server."""

import argparse
from dataclasses import Field, dataclass, field, fields
from typing import Any


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Limits and times of one server; each is a flag of the same name."""

    write_limit: int = _option(1 << 20, "bytes that may wait for one peer")
    close_timeout: float = _option(5.0, "seconds for a peer to answer a close frame")
    drain_timeout: float = _option(10.0, "seconds in all for a graceful end")
    max_pending: int = _option(10_000, "connections that may be in their handshake")
    request_timeout: int = _option(20, "seconds for the head of a connection's first request to come")
    max_head: int = _option(32 * 1024, "bytes of that head")
    frame_rate: int = _option(300, "control frames and fragments a second that a peer may send")
    max_request_body: int = _option(256 << 20, "bytes of an HTTP request's body")
    # Twisted's 50 overflows at a storm of 64 connects, and each SYN lost to it waits a second.
    backlog: int = _option(4096, "length of the listen queue")

    @classmethod
    def add_flags(cls, parser: argparse.ArgumentParser) -> None:
        """Add a flag for each option."""
        group = parser.add_argument_group("beyond Daphne")
        group.add_argument("--workers", type=int, default=1, help="processes on the one listening socket")
        for option in fields(cls):
            group.add_argument(_flag(option), type=type(option.default), default=option.default, help=_help(option))

    @classmethod
    def chosen(cls, namespace: argparse.Namespace) -> "Options":
        """Return the options of a parsed command line."""
        return cls(**{option.name: getattr(namespace, option.name) for option in fields(cls)})


def _flag(option: Field[Any]) -> str:
    return f"--{option.name.replace('_', '-')}"


def _help(option: Field[Any]) -> str:
    return f"{option.metadata['help']} (default: %(default)s)"
