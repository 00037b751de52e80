from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ginforge.server import balance
from ginforge.server.balance import Balance, shared_memory


@pytest.fixture
def workers() -> Iterator[list[Balance]]:
    descriptor = shared_memory(3)
    yield [Balance(descriptor, index, 3) for index in range(3)]
    os.close(descriptor)


def test_a_worker_alone_is_never_ahead(workers: list[Balance]) -> None:
    assert not workers[0].is_ahead(10_000)


def test_a_worker_is_ahead_of_one_that_has_clearly_less(workers: list[Balance]) -> None:
    workers[0].show(100)
    workers[1].show(60)
    assert workers[0].is_ahead(100)
    assert not workers[1].is_ahead(60)
    assert not workers[0].is_ahead(70)


def test_the_more_there_are_the_less_exact_it_has_to_be(workers: list[Balance]) -> None:
    workers[1].show(10_000)
    assert not workers[0].is_ahead(10_100)
    assert workers[0].is_ahead(11_000)


def test_a_worker_that_has_ended_does_not_hold_the_others_back(workers: list[Balance]) -> None:
    workers[1].show(0)
    workers[2].forget(1)
    assert not workers[0].is_ahead(10_000)


def test_a_worker_that_hangs_does_not_hold_the_others_back(
    workers: list[Balance], monkeypatch: pytest.MonkeyPatch
) -> None:
    workers[1].show(0)
    assert workers[0].is_ahead(10_000)
    monkeypatch.setattr(balance, "_STALE", 0)
    assert not workers[0].is_ahead(10_000)
