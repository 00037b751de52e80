from __future__ import annotations

from pathlib import Path

import pytest
import redis

from ginforge.embedded import EmbeddedValkey, ValkeyNotReady


def test_a_started_server_answers_and_leaves_nothing_behind() -> None:
    with EmbeddedValkey() as valkey:
        assert redis.Redis.from_url(valkey.url).ping()
        directory = valkey.directory
    assert not directory.exists()


def test_a_killed_server_comes_back_on_its_port_without_data() -> None:
    with EmbeddedValkey() as valkey:
        redis.Redis.from_url(valkey.url).set("key", "value")
        url = valkey.url
        valkey.kill()
        valkey.start()
        assert valkey.url == url
        assert redis.Redis.from_url(url).get("key") is None


def test_a_persistent_server_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    with EmbeddedValkey(directory=tmp_path, persist=True) as valkey:
        redis.Redis.from_url(valkey.url).set("key", "value")
        valkey.stop()
        valkey.start()
        assert redis.Redis.from_url(valkey.url).get("key") == b"value"


def test_a_frozen_server_keeps_connections_but_is_silent() -> None:
    with EmbeddedValkey() as valkey:
        client = redis.Redis.from_url(valkey.url, socket_timeout=0.3, retry=None)
        client.ping()
        valkey.freeze()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        valkey.thaw()
        assert client.ping()


def test_a_server_that_cannot_start_says_why() -> None:
    with EmbeddedValkey() as valkey, pytest.raises(ValkeyNotReady, match="in use"):
        EmbeddedValkey(port=valkey.port).start()
