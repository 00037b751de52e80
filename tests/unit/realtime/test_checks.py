"""``manage.py check`` finds wrong settings of the gateway."""

from __future__ import annotations

from realtime.checks import check_realtime_settings


def test_good_settings_pass(settings):
    settings.REALTIME = {"heartbeat": 5}
    assert check_realtime_settings() == []


def test_an_unknown_key_is_an_error(settings):
    settings.REALTIME = {"hartbeat": 5}
    (problem,) = check_realtime_settings()
    assert (problem.id, "hartbeat" in problem.msg) == ("realtime.E001", True)


def test_a_contradiction_is_an_error(settings):
    settings.REALTIME = {"heartbeat": 100}
    assert [problem.id for problem in check_realtime_settings()] == ["realtime.E001"]


def test_a_policy_that_cannot_be_imported_is_an_error(settings):
    settings.REALTIME = {"room_policy": "nowhere.Policy"}
    assert [problem.id for problem in check_realtime_settings()] == ["realtime.E002"]
