"""Runs a load test for a command line, Django's or its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from collections.abc import Mapping
from typing import Any, Final, TextIO

import jwt

from realtime.loadtest import report
from realtime.loadtest.options import LoadOptions, LoadTestError, add_arguments, options_from
from realtime.loadtest.progress import LiveProgress
from realtime.loadtest.results import LoadResult
from realtime.loadtest.runner import Mint, run

_TOKEN_LIFE: Final = 86_400
_SPARE_FILES: Final = 64

OK: Final = 0
LIMIT_PASSED: Final = 1
CANNOT_RUN: Final = 2


def main(arguments: list[str] | None = None) -> int:
    """Run ``python -m realtime.loadtest``; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m realtime.loadtest", description="Load a running gateway.")
    add_arguments(parser)
    return execute(vars(parser.parse_args(arguments)), mint=None, out=sys.stdout, err=sys.stderr)


def execute(given: Mapping[str, Any], *, mint: Mint | None, out: TextIO, err: TextIO) -> int:
    """Run a test from parsed arguments; returns 0, 1 when a limit was passed, 2 when it could not run.

    ``mint`` makes tokens when neither ``--token`` nor ``--jwt-key`` is given.
    """
    try:
        options = options_from(given)
        _allow_files(options.clients)
        if given.get("jwt_key"):
            mint = _minting(given["jwt_key"])
        result = _run(options, mint)
    except LoadTestError as error:
        print(f"Error: {error}", file=err)
        return CANNOT_RUN
    broken = result.broken_limits(options)
    print(report.summary(result, broken), file=out)
    _write(result, options, broken)
    return LIMIT_PASSED if broken else OK


def _run(options: LoadOptions, mint: Mint | None) -> LoadResult:
    test = run(options, mint=mint, progress=LiveProgress())
    try:
        import uvloop
    except ImportError:  # it is an optional extra: the test is the same, with fewer clients per core
        return asyncio.run(test)
    return uvloop.run(test)


def _write(result: LoadResult, options: LoadOptions, broken: list[str]) -> None:
    if options.json is not None:
        options.json.write_text(json.dumps(result.as_dict() | {"limits_passed": broken}, indent=2) + "\n")
    if options.html is not None:
        options.html.write_text(report.html(result, broken))


def _allow_files(clients: int) -> None:
    """Let this process open a socket per client; raises ``LoadTestError`` when the system does not allow so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + _SPARE_FILES
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise LoadTestError(f"this system allows {hard} open files: too few for {clients} clients (ulimit -n)")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _minting(key: str) -> Mint:
    def mint(user: str) -> str:
        now = int(time.time())
        claims = {"token_type": "access", "user_id": user, "username": user, "jti": user, "iat": now}
        return jwt.encode(claims | {"exp": now + _TOKEN_LIFE}, key, algorithm="HS256")

    return mint
