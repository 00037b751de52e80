"""Message types of other apps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from realtime.protocol import CLIENT_TYPES, SERVER_TYPES
from realtime.registry import handler_of, message_type, offline_store, register_offline_store, unregister


async def handler(context):
    """Do nothing."""


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    unregister("order.watch")


def test_a_decorated_function_handles_its_type():
    assert message_type("order.watch")(handler) is handler
    assert handler_of("order.watch") is handler
    assert handler_of("order.unwatch") is None


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "a\x00", *sorted(CLIENT_TYPES | SERVER_TYPES)])
def test_a_name_that_is_taken_or_no_name_is_refused(name):
    with pytest.raises(ValueError, match="message type"):
        message_type(name)


def test_a_type_has_one_handler():
    message_type("order.watch")(handler)
    with pytest.raises(ValueError, match="taken"):
        message_type("order.watch")


def test_an_offline_store_can_be_set_and_taken_away():
    before = offline_store()
    try:
        register_offline_store(None)
        assert offline_store() is None
    finally:
        register_offline_store(before)
