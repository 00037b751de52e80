from collections import Counter
from html.parser import HTMLParser

import pytest

from realtime.loadtest.histogram import Histogram
from realtime.loadtest.options import LoadOptions
from realtime.loadtest.report import html, summary
from realtime.loadtest.results import LoadResult, ScenarioResult, Second
from realtime.loadtest.tally import Outcome

URL = "ws://127.0.0.1:8080/ws"


def result(*, lost=0, duplicates=0, reordered=0, failures=0, latency=0.002) -> LoadResult:
    outcome = Outcome(
        expected=100, received=100 - lost, lost=lost, duplicates=duplicates, reordered=reordered, unexpected=0
    )
    seconds = [Second(50, Histogram([latency] * 50)), Second(50, Histogram([latency] * 50))]
    scenario = ScenarioResult(
        name="room",
        sent=10,
        seconds=2.0,
        outcome=outcome,
        latency=Histogram([latency] * 100),
        timeline=seconds,
        errors=Counter({"429 <slow> down": 2}),
    )
    return LoadResult(
        url=URL + "?<script>",
        clients=10,
        connected=10 - failures,
        connect_seconds=0.5,
        connect_latency=Histogram([0.01]),
        failures=Counter({"timed out": failures} if failures else {}),
        closed=Counter({1012: 1}),
        scenarios=[scenario],
    )


@pytest.mark.parametrize(
    ("seen", "limits", "line"),
    [
        ({"lost": 2}, {"max_loss": 1.0}, "room: loss % 2, 1 allowed"),
        ({"latency": 0.5}, {"max_p99": 100.0}, "room: p99 ms 500, 100 allowed"),
        ({"duplicates": 1}, {"max_duplicates": 0}, "room: duplicates 1, 0 allowed"),
        ({"reordered": 3}, {"max_reordered": 2}, "room: reordered 3, 2 allowed"),
        ({"failures": 1}, {}, "1 connects failed, 0 allowed"),
    ],
)
def test_a_passed_limit_is_told(seen, limits, line):
    assert result(**seen).broken_limits(LoadOptions(url=URL, redis_url="redis://x", **limits)) == [line]


def test_no_limit_no_complaint():
    options = LoadOptions(url=URL, redis_url="redis://x", max_failed=None)
    assert result(lost=50, duplicates=9, failures=3).broken_limits(options) == []


def test_json_holds_every_figure():
    figures = result(lost=1).as_dict()
    (room,) = figures["scenarios"]
    assert figures["connects_per_second"] == 20
    assert figures["closed"] == {"1012": 1}
    assert room["loss_percent"] == 1
    assert room["latency_ms"]["p99"] == pytest.approx(2, rel=0.02)
    assert [second["deliveries"] for second in room["timeline"]] == [50, 50]


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs) -> None:
        self.tags[tag] += 1
        self.links += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_is_self_contained_and_escapes_what_it_shows():
    page = Page()
    page.feed(html(result(), ["room: <b>bad</b>"]))
    assert page.tags["svg"] == 3
    assert page.links == []
    assert page.tags["script"] == page.tags["b"] == page.tags["slow"] == 0


def test_the_summary_tells_errors_closes_and_limits():
    text = summary(result(failures=1), ["something passed"])
    assert "1 × timed out" in text
    assert "1 connections closed by the gateway with 1012" in text
    assert "2 × error 429 <slow> down" in text
    assert "LIMIT PASSED: something passed" in text
