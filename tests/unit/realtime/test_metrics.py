"""Metrics: bounded label sets."""

from __future__ import annotations

from prometheus_client import REGISTRY

from realtime import metrics


def test_the_four_counters_of_the_contract_are_exposed() -> None:
    metrics.connections.inc("accepted")
    metrics.received.inc("ping")
    metrics.errors.inc("400")
    names = {sample.name for family in REGISTRY.collect() for sample in family.samples}
    assert {
        "websocket_connections_total",
        "websocket_messages_sent_total",
        "websocket_messages_received_total",
        "websocket_errors_total",
    } <= names


def test_label_values_beyond_the_bound_count_as_other() -> None:
    family = metrics.CounterFamily("test_bounded_total", "A test", "value")
    for number in range(200):
        family.inc(str(number))
    assert REGISTRY.get_sample_value("test_bounded_total", {"value": "other"}) == 150
    assert REGISTRY.get_sample_value("test_bounded_total", {"value": "3"}) == 1


def test_a_batch_counts_at_once() -> None:
    before = REGISTRY.get_sample_value("websocket_messages_sent_total") or 0
    metrics.sent.inc(500)
    assert REGISTRY.get_sample_value("websocket_messages_sent_total") == before + 500
