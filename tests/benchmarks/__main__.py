"""``python -m tests.benchmarks``: run the benchmarks, print and keep the results."""

from __future__ import annotations

import os
import platform
import signal
import sys
import time
from datetime import UTC, datetime

from tests.benchmarks import machine, plot, report
from tests.benchmarks.bench import Bench
from tests.benchmarks.load import LoadFailed, RemoteLoad
from tests.benchmarks.options import Options, parse
from tests.benchmarks.peers import PEERS, Peer, PeerMissing, Stage
from tests.benchmarks.processes import ServerFailed, raise_file_limit, share_priority
from tests.benchmarks.results import PeerResult, Results

_GATEWAY_SETTINGS = {"presence_audience": "nobody", "message_rate": 10_000.0, "message_burst": 10_000.0}
"""No peer tells everybody who comes and goes (a storm of connects would be one of broadcasts), or limits the rate."""

_PRIORITY = -15


def main() -> int:
    """Measure every peer; the exit code is 1 when one of them failed (not when it is missing)."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    raise_file_limit()
    if options.priority:
        os.nice(_PRIORITY)
        share_priority(os.getpid())
    results = Results(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=" ".join(["python -m tests.benchmarks", *sys.argv[1:]]),
        connections=options.connections,
        quick=options.quick,
        machine=machine.describe(),
        python=platform.python_version(),
    )
    failed = [name for name in options.only if not _measure(PEERS[name](), options, results)]
    path = options.out / "results.json"
    results.save(path)
    print(report.text(results))
    plot.draw(results, options.out / "results.svg")
    print(f"\nWritten: {path}, {options.out / 'results.svg'}; logs are there too")
    if options.docs:
        report.write_docs(results)
        plot.draw(results, report.DOCS.with_suffix(".svg"))
        results.save(report.DOCS.with_suffix(".json"))
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _measure(peer: Peer, options: Options, results: Results) -> bool:
    """Measure one peer into ``results``; a missing peer is said and passed over."""
    begun = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - begun:5.0f} s] {peer.name}: {text}", flush=True)

    stage = Stage(directory=options.out.resolve(), cache=options.cache, gateway_settings=_GATEWAY_SETTINGS)
    result = PeerResult(label=peer.label, note=peer.note)
    results.peers[peer.name] = result
    try:
        result.versions = peer.versions(stage)
        with (
            peer.start(stage) as running,
            RemoteLoad(running.route, name="load") as load,
            RemoteLoad(running.route, name="probe", urgent=True) as probe,
        ):
            share_priority(running.valkey.pid or 0)
            Bench(peer, running, load, probe, options, say, result.figures, result.growth).run()
    except PeerMissing as missing:
        result.missing = str(missing)
        say(f"left out: {missing}")
    except (ServerFailed, LoadFailed) as failure:
        result.failure = str(failure)
        say(f"failed: {failure}")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
