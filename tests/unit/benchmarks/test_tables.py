import pytest

from realtime.scripts import publish_script
from tests.benchmarks.history import without_history
from tests.benchmarks.metrics import METRICS
from tests.benchmarks.options import parse
from tests.benchmarks.report import figures_table, growth_table, ratio_table, target_table, text
from tests.benchmarks.results import PeerResult, Results
from tests.benchmarks.targets import TARGETS


@pytest.fixture
def results() -> Results:
    run = Results(date="2026-01-01", command="make bench", connections=5000, quick=False, machine={}, python="3.11")
    run.peers["project"] = PeerResult(
        label="Ours",
        figures={"broadcast_rate": 100_000.0, "broadcast_cpu": 6e-6, "rss_10000": 6_000.0, "lost": 0},
        growth={
            1_000: {"connect_cpu": 3e-4, "broadcast_cpu": 6e-6, "rss": 6144.0},
            12_000: {"connect_cpu": 3e-4, "broadcast_cpu": 7e-6, "rss": 6144.0},
        },
    )
    run.peers["textbook"] = PeerResult(label="Theirs", figures={"broadcast_rate": 2_000.0, "broadcast_cpu": 3e-4})
    run.peers["nchan"] = PeerResult(label="Absent", missing="needs nginx")
    return run


def test_a_ratio_above_one_always_means_better(results: Results) -> None:
    rows = {row[0]: row[1:] for row in ratio_table(results)}
    assert rows["Broadcast: deliveries"] == ["50.00"]
    assert rows["Broadcast: CPU per delivery"] == ["50.00"]


def test_peers_without_figures_have_no_column_but_a_line(results: Results) -> None:
    assert figures_table(results)[0] == ["", "unit", "Ours", "Theirs"]
    assert "Absent: needs nginx" in text(results)


def test_promises_are_met_missed_or_not_measured(results: Results) -> None:
    rows = {row[0]: row[1:] for row in target_table(results)}
    assert rows["Broadcast deliveries/s ÷ textbook"] == ["≥ 20", "50", "met"]
    assert rows["Lost, doubled or reordered"] == ["≤ 0", "0", "met"]
    assert rows["Connects/s ÷ textbook"] == ["≥ 2", "not measured", ""]
    results.peers["project"].figures["rss_10000"] = 9_000.0
    rows = {row[0]: row[1:] for row in target_table(results)}
    assert rows["RSS per connection at 10,000, bytes"][-1] == "missed"


def test_growth_is_shown_by_number_of_connections(results: Results) -> None:
    assert growth_table(results)[-1] == ["Ours", "12,000", "300", "7.0", "6.0"]


def test_every_promise_is_about_a_figure_that_is_measured() -> None:
    assert {target.key for target in TARGETS} <= {metric.key for metric in METRICS}


def test_the_script_without_history_is_the_same_in_all_else() -> None:
    whole = publish_script("run", trust=False)
    bare = without_history(whole)
    assert "XADD" not in bare
    assert "PUBLISH" in bare
    assert len(whole.splitlines()) - len(bare.splitlines()) == 2


def test_a_script_that_has_changed_is_not_measured_by_mistake() -> None:
    with pytest.raises(ValueError, match="has changed"):
        without_history("return 1")


def test_only_growing_peers_go_beyond_the_main_number_of_connections() -> None:
    options = parse([])
    assert options.stages("project") == [1_000, 5_000, 10_000, 11_000, 12_000]
    assert options.stages("textbook") == [1_000, 5_000]
    assert parse(["--quick"]).stages("project") == [60]
    assert parse(["--no-growth", "--connections", "300"]).stages("project") == [300]
