"""``manage.py check`` finds wrong settings of the gateway."""

from __future__ import annotations

from realtime.checks import check_access_settings, check_realtime_settings


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


def test_an_allowed_origin_that_is_none_is_an_error(settings):
    assert check_access_settings() == []
    settings.ALLOWED_ORIGINS = ["https://good.example", "example.com"]
    (problem,) = check_access_settings()
    assert (problem.id, "'example.com'" in problem.msg) == ("realtime.E003", True)


def test_a_key_that_does_not_fit_its_algorithm_is_an_error_that_does_not_show_it(settings):
    settings.SIMPLE_JWT = {"ALGORITHM": "RS256", "VERIFYING_KEY": "not-a-pem-secret"}
    (problem,) = check_access_settings()
    assert (problem.id, "not-a-pem-secret" in problem.msg) == ("realtime.E004", False)
    settings.SIMPLE_JWT = {"ALGORITHM": "none", "SIGNING_KEY": "x"}
    assert [problem.id for problem in check_access_settings()] == ["realtime.E004"]
