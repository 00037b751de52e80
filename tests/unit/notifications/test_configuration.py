"""Where the client finds Redis."""

from __future__ import annotations

import pytest

from notifications.client import NotificationClient
from notifications.configuration import ClientSettings, resolve_settings
from notifications.errors import NotConfigured
from notifications.shortcuts import default_client, forget_default_client
from realtime.conf import get_settings


def test_a_django_process_uses_its_settings(settings):
    settings.REDIS_URLS = ["redis://one:1/0", "redis://two:2/0"]
    settings.REALTIME = {"redis_timeout": 1.5, "redis_connect_timeout": 0.5, "ingress_limit": 10}
    get_settings.cache_clear()
    assert resolve_settings() == ClientSettings(
        url="redis://one:1/0", connect_timeout=0.5, timeout=1.5, ingress_limit=10
    )


def test_another_django_project_may_name_one_url(settings):
    del settings.REDIS_URLS
    settings.REDIS_URL = "redis://host:1/0, redis://other:2/0"
    assert resolve_settings().url == "redis://host:1/0"


def test_a_django_project_without_either_falls_back_to_the_environment(settings, monkeypatch):
    del settings.REDIS_URLS
    monkeypatch.setenv("REDIS_URL", "redis://env:1/0")
    assert resolve_settings().url == "redis://env:1/0"


def test_times_are_two_seconds_to_connect_and_five_in_all_unless_said():
    client = NotificationClient("redis://host:1/0")
    assert (client.settings.connect_timeout, client.settings.timeout) == (2.0, 5.0)
    client = NotificationClient("redis://host:1/0", connect_timeout=0.1, timeout=0.2)
    assert (client.settings.connect_timeout, client.settings.timeout) == (0.1, 0.2)


def test_the_password_in_a_url_does_not_show():
    assert "secret" not in repr(ClientSettings(url="redis://:secret@host:1/0"))


@pytest.mark.parametrize("url", ["", "host:6379", "http://host", "redis://host:port"])
def test_a_url_that_is_none_is_a_clear_error(url):
    with pytest.raises(NotConfigured, match="REDIS_URL"):
        NotificationClient(url).send_notification(1, "a", "b")


async def test_a_url_that_is_none_is_a_clear_error_in_asyncio_too():
    with pytest.raises(NotConfigured, match="REDIS_URL"):
        await NotificationClient("http://host").asend_notification(1, "a", "b")


def test_the_client_of_the_process_is_made_once_and_can_be_forgotten():
    forget_default_client()
    first = default_client()
    assert default_client() is first
    forget_default_client()
    assert default_client() is not first
