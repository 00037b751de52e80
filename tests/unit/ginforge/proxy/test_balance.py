from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

from ginforge.proxy.balance import Pool
from ginforge.proxy.conf import ProxySettings, Target


def pool(*weights: int, max_requests: int = 1000) -> Pool:
    conf = ProxySettings(max_requests=max_requests, breaker_failures=1)
    return Pool.of([Target(f"http://h{number}:1", weight) for number, weight in enumerate(weights)], conf)


def test_the_least_busy_by_weight_is_picked() -> None:
    instances = pool(3, 1)
    picked: Counter[int] = Counter()
    with ExitStack() as stack:
        for _ in range(12):
            instance = instances.pick(0)
            assert instance is not None
            stack.enter_context(instance.busy())
            picked[instance.target.weight] += 1
    assert picked == {3: 9, 1: 3}
    assert [instance.in_flight for instance in instances.instances] == [0, 0]


def test_unhealthy_broken_full_and_tried_instances_are_not_picked() -> None:
    instances = pool(1, 1, 1, 1, max_requests=1)
    unhealthy, broken, full, tried = instances.instances
    unhealthy.healthy = False
    broken.fail(0, "x")
    with full.busy():
        assert instances.pick(0) is tried
        assert instances.pick(0, [tried]) is None


def test_a_pool_is_full_only_when_something_lives() -> None:
    instances = pool(1, max_requests=1)
    assert not instances.is_full(0)
    with instances.instances[0].busy():
        assert instances.is_full(0)
        instances.instances[0].healthy = False
        assert not instances.is_full(0)
