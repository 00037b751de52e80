"""Probes and pages: health, readiness, metrics, the console."""

from __future__ import annotations

import pytest
from django.test import AsyncClient, Client, override_settings

from realtime import exposition, health
from realtime.auth import revocation
from realtime.auth.minting import mint_access_token
from realtime.codes import Unavailable
from realtime.conf import get_settings


@pytest.fixture(autouse=True)
def _no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "check", lambda principal: None)
    monkeypatch.setattr(exposition, "render", lambda: b"websocket_messages_sent_total 1.0\n")


def answers(monkeypatch: pytest.MonkeyPatch, **results: str) -> None:
    async def check() -> dict[str, str]:
        return results

    monkeypatch.setattr(health, "check", check)


async def test_healthz_asks_nobody() -> None:
    response = await AsyncClient().get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert response["Cache-Control"] == "no-store"


async def test_readyz_is_200_when_every_part_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, redis="ok", bridge="ok")
    response = await AsyncClient().get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"status": "ok", "checks": {"redis": "ok", "bridge": "ok"}}


async def test_readyz_says_which_part_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, redis="ok", bridge="no bridge is running")
    response = await AsyncClient().get("/readyz")
    assert response.status_code == 503
    assert response.json()["reason"] == "bridge: no bridge is running"


async def test_metrics_are_in_prometheus_text_format() -> None:
    response = await AsyncClient().get("/metrics")
    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/plain; version=")
    assert b"websocket_messages_sent_total" in response.content


@pytest.mark.parametrize(
    ("path", "setting"), [("/healthz", "public_health"), ("/readyz", "public_health"), ("/metrics", "public_metrics")]
)
async def test_a_closed_page_is_for_staff_only(path: str, setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, redis="ok")
    staff = {"Authorization": "Bearer " + mint_access_token("1", is_staff=True)}
    user = {"Authorization": "Bearer " + mint_access_token("1")}
    with override_settings(REALTIME={setting: False}):
        get_settings.cache_clear()
        client = AsyncClient()
        assert (await client.get(path)).status_code == 401
        assert (await client.get(path, headers={"Authorization": "Bearer x"})).status_code == 401
        assert (await client.get(path, headers=user)).status_code == 403
        assert (await client.get(path, headers=staff)).status_code == 200


async def test_a_closed_page_without_redis_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    def unavailable(principal: object) -> None:
        raise Unavailable("Redis is down")

    monkeypatch.setattr(revocation, "check", unavailable)
    with override_settings(REALTIME={"public_metrics": False}):
        get_settings.cache_clear()
        staff = {"Authorization": "Bearer " + mint_access_token("1", is_staff=True)}
        assert (await AsyncClient().get("/metrics", headers=staff)).status_code == 503


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/"])
async def test_probes_and_pages_are_read_only(path: str) -> None:
    assert (await AsyncClient().post(path)).status_code in (403, 405)


def test_the_console_is_a_page_with_no_foreign_and_no_inline_code() -> None:
    response = Client().get("/")
    page = response.content.decode()
    assert response.status_code == 200
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "//" not in page.replace("http://www.w3.org", "").replace("<!--", "").split("</head>")[0].split("<link")[1]
    assert " style=" not in page
    assert " onclick" not in page


def test_the_console_speaks_chinese() -> None:
    page = Client(headers={"Accept-Language": "zh-Hans"}).get("/").content.decode()
    assert 'lang="zh-hans"' in page
    assert "登录" in page
    assert "粘贴令牌" in page
