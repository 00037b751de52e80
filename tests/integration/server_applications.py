"""Small ASGI applications that the server's tests run; each knows nothing of the server but its extension."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from pathlib import Path
from typing import Any

from ginforge.server.runtime import runtime

hub: dict[Any, str] = {}
floods: list[asyncio.Future[None]] = []


def say(text: str) -> None:
    """Write a line for the test to wait for."""
    print(text, flush=True)


async def respond(send: Any, body: object, status: int = 200) -> None:
    """Answer an HTTP request with JSON."""
    data = json.dumps(body).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": data})


async def until_disconnect(receive: Any) -> dict[str, Any]:
    """Read until the connection is gone and return the last event."""
    while True:
        event: dict[str, Any] = await receive()
        if event["type"] == "websocket.disconnect":
            return event


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Send everything back."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] != "websocket.disconnect":
        kind = "text" if event.get("text") is not None else "bytes"
        await send({"type": "websocket.send", kind: event[kind]})
    say(f"disconnect {event['code']} {event['reason']}")


async def commands(scope: Any, receive: Any, send: Any) -> None:
    """Do what the path or the client's text says; the end of every connection is logged."""
    if scope["type"] == "http":
        await _http(scope, receive, send)
        return
    assert scope["type"] == "websocket"
    await receive()
    if await _not_opened(scope["path"], receive, send):
        return
    accept = {"type": "websocket.accept", "headers": [(b"x-flavour", b"plain")]}
    await send({**accept, "subprotocol": scope["subprotocols"][0]} if scope["subprotocols"] else accept)
    while (event := await receive())["type"] != "websocket.disconnect":
        if event.get("bytes") is not None:
            await send({"type": "websocket.close", "code": 1003, "reason": "text only"})
            continue
        word, _, rest = event["text"].partition(" ")
        if word == "close":
            code, _, reason = rest.partition(" ")
            await send({"type": "websocket.close", "code": int(code), "reason": reason})
        elif word == "raise":
            raise RuntimeError("on purpose")
        elif word == "return":
            return
        else:
            await send({"type": "websocket.send", "text": event["text"]})
    if scope["path"] == "/lingering":
        await asyncio.sleep(3600)
    if scope["path"] == "/tidy":
        await asyncio.sleep(0.2)
    say(f"disconnect {event['code']} {event['reason']}")


async def _not_opened(path: str, receive: Any, send: Any) -> bool:
    match path:
        case "/refuse":
            await send({"type": "websocket.close"})
        case "/busy":
            await send({"type": "websocket.http.response.start", "status": 503, "headers": [(b"retry-after", b"7")]})
            await send({"type": "websocket.http.response.body", "body": b"later"})
        case "/never":
            await until_disconnect(receive)
            say("gone unanswered")
        case "/fail":
            raise RuntimeError("on purpose")
        case _:
            return False
    return True


async def _http(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/upload":
        await _upload(receive, send)
        return
    await receive()
    match scope["path"]:
        case "/scope":
            await respond(send, {name: scope[name] for name in ("root_path", "client", "scheme")})
        case "/half":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise RuntimeError("on purpose")
        case "/nothing":
            return
        case "/slow":
            say("slow request begun")
            await asyncio.sleep(0.5)
            await respond(send, "slow but done")
        case "/large":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(1600):
                await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})
            await send({"type": "http.response.body"})
        case _:
            await respond(send, state())


async def _upload(receive: Any, send: Any) -> None:
    size = largest = 0
    more = True
    while more:
        event = await receive()
        assert event["type"] == "http.request"
        size += len(event["body"])
        largest = max(largest, len(event["body"]))
        more = event["more_body"]
    await respond(send, {"size": size, "largest": largest, "rss_kb": state()["rss_kb"]})


def state() -> dict[str, Any]:
    """Return what the tests look at."""
    status = Path("/proc/self/status").read_text().splitlines()
    rss = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    kinds = [type(thing).__name__ for thing in gc.get_objects()]
    return {
        "pid": os.getpid(),
        "rss_kb": rss,
        "sockets": kinds.count("GatewayWebSocket"),
        "open": runtime.open_sockets,
        "buffered": runtime.buffered_bytes,
        "slow": runtime.slow_connections,
        "overflowed": runtime.overflowed,
    }


async def fan_out(scope: Any, receive: Any, send: Any) -> None:
    """A hub on the direct extension: what a client sends goes to all; ``flood N SIZE`` sends N numbered frames."""
    if scope["type"] == "http":
        await receive()
        await respond(send, state())
        return
    assert scope["type"] == "websocket"
    direct = scope["extensions"]["ginforge.direct"]
    await receive()
    await send({"type": "websocket.accept"})
    hub[direct] = scope["path"]
    held: list[bytes] = []
    if scope["path"] == "/held":
        # A client's first message pauses reading for as long as nobody says "go".
        def hold(payload: bytes) -> None:
            held.append(payload)
            direct.pause_reading()
            say(f"held {payload.decode()}")

        direct.set_receiver(hold)
    else:
        direct.set_receiver(fan)
    await until_disconnect(receive)
    del hub[direct]


def fan(payload: bytes) -> None:
    """Carry out a client's message."""
    word, *numbers = payload.split(b" ")
    if word == b"flood":
        floods.append(asyncio.ensure_future(_flood(int(numbers[0]), int(numbers[1]))))
    elif word == b"go":
        for direct, path in hub.items():
            if path == "/held":
                direct.resume_reading()
    else:
        _to_all(payload)


async def _flood(count: int, size: int) -> None:
    for number in range(count):
        _to_all(b"%d " % number + b"x" * size)
        # At the pace of those who read.
        while any(direct.buffered_bytes for direct, path in hub.items() if path != "/stuck"):
            await asyncio.sleep(0.001)
    _to_all(b"end")


def _to_all(payload: bytes) -> None:
    frame = next(iter(hub)).make_frame(payload)
    for direct in list(hub):
        direct.send_frame(frame)


async def lazy(scope: Any, receive: Any, send: Any) -> None:
    """Read one message for each second."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    say("accepted")
    await asyncio.sleep(3600)


async def with_lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Knows how to start and end."""
    if scope["type"] == "lifespan":
        await receive()
        say("application starts")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        say("application ends")
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await _http(scope, receive, send)


async def hooked(scope: Any, receive: Any, send: Any) -> None:
    """Shows in HTTP whether the server drains; connections at /slow keep it at that."""
    await commands(scope, receive, send)


runtime.on_drain.append(lambda: say(f"drain hook, draining={runtime.draining}"))


async def counted(scope: Any, receive: Any, send: Any) -> None:
    """Count requests in a Prometheus counter; /metrics shows the sum over all workers."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    assert scope["type"] == "http"
    await receive()
    if scope["path"] == "/metrics":
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": generate_latest(registry)})
    else:
        _requests().inc()
        await respond(send, os.getpid())


def _requests() -> Any:
    from prometheus_client import REGISTRY, Counter

    known = getattr(_requests, "counter", None)
    if known is None:
        known = _requests.counter = Counter("requests", "Requests", registry=REGISTRY)  # type: ignore[attr-defined]
    return known
