"""Keys of one script share a hash slot, and channels fall on the shards that channels-redis expects."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime import keys
from realtime.groups import safe_name


def tag(key: str) -> str:
    found = re.search(r"\{([^}]+)\}", key)
    assert found is not None
    return found[1]


@given(st.text(min_size=1), st.text(min_size=1))
def test_the_keys_of_one_stream_share_a_hash_tag(name, dedupe_id):
    group = "room." + safe_name(name)
    made = (keys.stream_meta(group), keys.stream_log(group), keys.stream_seen(group, dedupe_id))
    assert {tag(key) for key in made} == {group}


def test_all_presence_keys_share_a_hash_tag():
    made = (
        keys.PRESENCE_NODES, keys.PRESENCE_USERS, keys.PRESENCE_ROOMS, keys.PRESENCE_BUDGET, keys.PRESENCE_CHANGED,
        keys.node_info("n"), keys.node_users("n"), keys.node_rooms("n"),
    )  # fmt: skip
    assert {tag(key) for key in made} == {"presence"}
    assert len(set(made)) == len(made)


def test_group_channels_are_named_as_channels_redis_does():
    assert keys.group_channel("user.7") == "ginforge__group__user.7"


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_channels_fall_on_existing_shards_and_spread(shards):
    found = {keys.shard_index(f"ginforge__group__user.{n}", shards) for n in range(500)}
    assert found == set(range(shards))
