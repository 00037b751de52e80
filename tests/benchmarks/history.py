"""What the history costs: the publish script as it is, against the same without what keeps the history."""

from __future__ import annotations

import time
from typing import Final

import psutil
import redis

from ginforge.embedded import EmbeddedValkey
from realtime.conf import RealtimeSettings
from realtime.groups import user_group
from realtime.keys import group_channel, stream_log, stream_meta
from realtime.scripts import publish_script

_HISTORY_LINES: Final = ("redis.call('XADD', KEYS[2]", "redis.call('EXPIRE', KEYS[2]")
_ROUNDS: Final = 4
_BATCH: Final = 100


def history_cpu(valkey: EmbeddedValkey, *, messages: int, users: int = 1000, size: int = 300) -> float:
    """Return the CPU seconds of Valkey per message that go into keeping the history.

    Both scripts publish to ``users`` streams in turn, in pipelines, in alternating rounds.
    """
    with redis.Redis.from_url(valkey.url) as client:
        run = str(client.info("server")["run_id"])
        whole = publish_script(run, trust=False)
        scripts = [client.script_load(source) for source in (whole, without_history(whole))]
        spent = [0.0, 0.0]
        for _ in range(_ROUNDS):
            for number, script in enumerate(scripts):
                spent[number] += _publish(client, valkey, script, messages // _ROUNDS, users, b"x" * size)
    return (spent[0] - spent[1]) / (messages // _ROUNDS * _ROUNDS)


def without_history(script: str) -> str:
    """Return the script without the lines that keep the history; raises ``ValueError`` when they are not there."""
    lines = script.splitlines()
    kept = [line for line in lines if not line.startswith(_HISTORY_LINES)]
    if len(lines) - len(kept) != len(_HISTORY_LINES):
        raise ValueError("the publish script has changed: say here again which lines keep the history")
    return "\n".join(kept)


def _publish(client: redis.Redis, valkey: EmbeddedValkey, script: str, messages: int, users: int, text: bytes) -> float:
    conf = RealtimeSettings()
    process = psutil.Process(valkey.pid)
    before = sum(process.cpu_times()[:2])
    for start in range(0, messages, _BATCH):
        pipeline = client.pipeline(transaction=False)
        for number in range(start, min(start + _BATCH, messages)):
            group = user_group(f"history-{number % users}")
            body = b"%d " % (time.time_ns() // 1_000_000) + text
            pipeline.evalsha(
                script, 2, stream_meta(group), stream_log(group), body, group_channel(group),
                conf.history_size, conf.history_ttl, conf.position_ttl, "epoch", conf.idempotency_window,
            )  # fmt: skip
        pipeline.execute()
    return sum(process.cpu_times()[:2]) - before
