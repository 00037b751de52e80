"""``make chaos``: every fault, long enough to mean something, and the table in docs/reliability.md."""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import re
import sys
import time
from dataclasses import asdict
from pathlib import Path

from tests.chaos.history import Verdict
from tests.chaos.run import run_scenario
from tests.chaos.scenarios import SCENARIOS

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
_MARKS = ("<!-- chaos table -->", "<!-- end of chaos table -->")


def main() -> int:
    """Run the chosen scenarios; exit code 1 when one of them lost, doubled or reordered anything unseen."""
    options = _options()
    verdicts: dict[str, Verdict] = {}
    for name in options.scenario or SCENARIOS:
        print(f"{name}: {SCENARIOS[name].what} … ", end="", flush=True)
        verdict, logs = asyncio.run(run_scenario(SCENARIOS[name], options.seconds))
        verdicts[name] = verdict
        print(f"{verdict.describe()}; {verdict.messages} messages, {verdict.deliveries} deliveries", flush=True)
        if not verdict.clean and options.verbose:
            print(logs)
    print(_table(verdicts))
    if options.json:
        rows = {name: asdict(verdict) for name, verdict in verdicts.items()}
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    if options.write:
        _write(verdicts, options.seconds)
    return 0 if all(verdict.clean for verdict in verdicts.values()) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS), help="only this one (repeatable)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each fault (default 30)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    parser.add_argument("--verbose", action="store_true", help="show the processes' logs when something went wrong")
    return parser.parse_args()


def _table(verdicts: dict[str, Verdict]) -> str:
    lines = [
        "| fault | messages | deliveries | lost unseen | told lost | doubled | reordered | foreign | longest delay |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, v in verdicts.items():
        lines.append(
            f"| {SCENARIOS[name].what} | {v.messages:,} | {v.deliveries:,} | {len(v.lost_unseen)} | {v.told_lost} "
            f"| {len(v.doubled)} | {len(v.reordered)} | {len(v.foreign) + len(v.phantom)} | {v.longest_delay:.1f} s |"
        )
    return "\n".join(lines)


def _write(verdicts: dict[str, Verdict], seconds: float) -> None:
    when = time.strftime("%Y-%m-%d", time.gmtime())
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    text = (
        f'Measured {when} with `make chaos ARGS="--seconds {seconds:g} --write"` on {machine}.\n\n{_table(verdicts)}\n'
    )
    start, end = _MARKS
    page = _PAGE.read_text()
    _PAGE.write_text(re.sub(f"{start}.*{end}", lambda _: f"{start}\n{text}{end}", page, flags=re.DOTALL))


if __name__ == "__main__":
    sys.exit(main())
