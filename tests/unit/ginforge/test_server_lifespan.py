from __future__ import annotations

from typing import Any

import pytest

from ginforge.server.lifespan import Lifespan, StartupFailed


async def test_an_application_starts_and_ends_when_told() -> None:
    seen: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            event = await receive()
            seen.append(event["type"])
            await send({"type": f"{event['type']}.complete"})

    lifespan = Lifespan(application)
    await lifespan.startup()
    assert seen == ["lifespan.startup"]
    await lifespan.shutdown(5)
    assert seen == ["lifespan.startup", "lifespan.shutdown"]


async def test_an_application_without_lifespan_is_served_all_the_same() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("unknown type")

    lifespan = Lifespan(application)
    await lifespan.startup()
    await lifespan.shutdown(5)


async def test_an_application_that_cannot_start_says_why() -> None:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(StartupFailed, match="no database"):
        await Lifespan(application).startup()
