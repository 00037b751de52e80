"""``/ws`` and nothing else is a WebSocket."""

from __future__ import annotations

import pytest
from channels.testing import WebsocketCommunicator

from realtime.routing import application, urlpatterns


@pytest.mark.parametrize("path", ["/", "/ws/x", "/wss", "/WS", "//ws", "/api/ws"])
async def test_other_paths_are_refused(path):
    accepted, _ = await WebsocketCommunicator(application, path).connect()
    assert not accepted


def test_a_project_can_mount_the_same_path_in_its_own_router():
    (pattern,) = urlpatterns
    assert pattern.resolve("ws")
    assert pattern.resolve("ws/")
    assert not pattern.resolve("wsx")
