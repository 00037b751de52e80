import argparse

import pytest

from realtime.loadtest.options import LoadTestError, add_arguments, options_from

URL = "ws://127.0.0.1:8080/ws"


def parsed(*arguments: str):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return options_from(vars(parser.parse_args(arguments)))


def test_without_redis_clients_send_to_each_other():
    assert parsed(URL).scenarios == ("unicast", "room")


def test_with_redis_all_scenarios_run():
    assert parsed(URL, "--redis-url", "redis://127.0.0.1").scenarios == ("broadcast", "unicast", "room")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["http://127.0.0.1/ws"], "not a WebSocket URL"),
        (["ws://"], "not a WebSocket URL"),
        ([URL, "--scenarios", "room,dance"], "unknown scenario.* dance"),
        ([URL, "--scenarios", "broadcast"], "give --redis-url"),
        ([URL, "--clients", "0"], "--clients must be above 0"),
        ([URL, "--rate", "-1"], "--rate must be above 0"),
        ([URL, "--room-size", "0"], "--room-size must be above 0"),
        ([URL, "--scenarios", "unicast", "--clients", "1"], "at least two"),
    ],
)
def test_a_wrong_option_is_named(arguments, message):
    with pytest.raises(LoadTestError, match=message):
        parsed(*arguments)
