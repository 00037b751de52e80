"""Settings: defaults as in the contract, and clear words for anything wrong."""

from __future__ import annotations

import dataclasses

import pytest

from realtime.conf import RealtimeSettings, build_settings, get_settings


def test_the_defaults_are_those_of_the_contract():
    conf = RealtimeSettings()
    assert (conf.max_message_size, conf.max_payload_size, conf.max_name_length) == (524_288, 1_048_576, 512)
    assert (conf.message_rate, conf.message_burst, conf.rate_strikes) == (50, 100, 500)
    assert (conf.heartbeat_timeout, conf.presence_grace, conf.presence_audience) == (60, 3, "everyone")


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RealtimeSettings().heartbeat = 1


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"hartbeat": 1}, "hartbeat"),
        ({"hartbeat": 1}, "heartbeat"),
        ({"heartbeat": "20"}, "heartbeat must be int"),
        ({"heartbeat": True}, "heartbeat must be int"),
        ({"public_stats": 1}, "public_stats must be bool"),
        ({"offline_types": "chat"}, "offline_types must be tuple"),
        ({"message_rate": -1}, "message_rate"),
        ({"message_rate": 0}, "message_rate"),
        ({"message_burst": 0}, "message_burst"),
        ({"heartbeat": 60}, "heartbeat_timeout"),
        ({"max_message_size": 2_000_000}, "max_message_size"),
        ({"history_size": 0}, "history_size"),
        ({"position_ttl": 10}, "position_ttl"),
        ({"presence_audience": "friends"}, "presence_audience"),
        ({"on_too_many": "explode"}, "on_too_many"),
        ({"lease": -1.0}, "lease"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(values, names):
    with pytest.raises(ValueError, match=names):
        build_settings(values)


def test_several_contradictions_are_told_at_once():
    with pytest.raises(ValueError, match=r"history_size.*on_too_many"):
        build_settings({"history_size": 0, "on_too_many": "x"})


def test_whole_numbers_and_lists_are_taken_where_they_fit():
    conf = build_settings({"lease": 5, "offline_types": ["chat"]})
    assert conf.lease == 5.0
    assert isinstance(conf.lease, float)
    assert conf.offline_types == ("chat",)


def test_the_projects_settings_are_read_from_django(settings):
    settings.REALTIME = {"heartbeat": 5}
    get_settings.cache_clear()
    assert get_settings().heartbeat == 5
    assert get_settings() is get_settings()
