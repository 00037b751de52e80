"""The benchmark's harness in its quick mode: everything is measured, nothing is left running."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.benchmarks.metrics import METRICS
from tests.benchmarks.report import write_docs
from tests.benchmarks.results import PeerResult, Results

PEERS = "project,textbook,bare"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "tests.benchmarks", "--quick", "--only", PEERS, "--out", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


def test_every_figure_of_every_peer_is_measured(out: Path) -> None:
    results = Results.load(out / "results.json")
    assert list(results.peers) == PEERS.split(",")
    measured = set(results.peers["project"].figures)
    only_at_full_size = {"rss_10000", "growth_delivery", "growth_connect"}
    assert {metric.key for metric in METRICS} - measured == only_at_full_size
    assert {"broadcast_rate", "connect_rate", "rss"} <= set(results.peers["bare"].figures)


def test_nothing_is_lost_doubled_or_reordered(out: Path) -> None:
    results = Results.load(out / "results.json")
    assert {name: peer.figures["lost"] for name, peer in results.peers.items()} == dict.fromkeys(results.peers, 0)


def test_the_plot_shows_the_peers(out: Path) -> None:
    text = (out / "results.svg").read_text()
    assert "This project" in text
    assert "Textbook Channels on Daphne" in text


def test_nothing_is_left_running(out: Path) -> None:
    mine = [process.cmdline() for process in psutil.process_iter() if str(out) in " ".join(_environment(process))]
    assert mine == []


def _environment(process: psutil.Process) -> list[str]:
    try:
        return list(process.environ().values())
    except psutil.Error:
        return []


def test_an_unknown_peer_is_refused() -> None:
    command = [sys.executable, "-m", "tests.benchmarks", "--only", "apache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "unknown peer(s) apache" in done.stderr


def test_the_page_keeps_its_own_text_around_the_tables(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    begin, end = "<!-- bench:begin (written by `make bench`, do not edit) -->", "<!-- bench:end -->"
    page.write_text(f"Before\n{begin}\nold\n{end}\nAfter\n")
    results = Results(date="2026-01-01", command="make bench", connections=5, quick=False, machine={}, python="3.11")
    results.peers["project"] = PeerResult(label="This project", figures={"connect_rate": 1234.0})
    write_docs(results, page)
    text = page.read_text()
    assert text.startswith("Before\n")
    assert text.endswith("\nAfter\n")
    assert "| Connects | 1/s | 1,234 |" in text
    assert "old" not in text


def test_a_page_without_a_place_for_the_tables_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="has no <!-- bench:begin"):
        write_docs(Results(date="", command="", connections=1, quick=True, machine={}, python=""), page)
