"""The least application that shows what a server itself costs: accept, echo, fan out on request.

It uses the direct extension where the server has it.
"""

from __future__ import annotations

import gc
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

connections: set[Any] = set()
_ROUNDS = 6


async def application(scope: Any, receive: Any, send: Any) -> None:
    """ASGI: WebSockets are held and echoed, ``/usage`` and ``/broadcast`` are the harness's."""
    if scope["type"] == "http":
        await receive()
        body = json.dumps(_usage() if scope["path"] == "/usage" else _broadcast()).encode()
        length = (b"content-length", str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})
        return
    if scope["type"] != "websocket":
        raise ValueError(scope["type"])
    direct = scope.get("extensions", {}).get("ginforge.direct")
    # What an application keeps of the scope is its own affair.
    del scope
    await receive()
    await send({"type": "websocket.accept"})
    if direct is not None:
        direct.set_receiver(partial(_echo, direct))
        connections.add(direct)
    while (event := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": event["text"]})
    connections.discard(direct)


def _echo(direct: Any, payload: bytes) -> None:
    direct.send_frame(direct.make_frame(payload))


def _usage() -> dict[str, float]:
    """Return resident kilobytes, and CPU seconds without and with what this look itself costs."""
    cpu = time.process_time()
    gc.collect()
    status = Path("/proc/self/status").read_text().splitlines()
    rss = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return {"cpu": cpu, "cpu_after": time.process_time(), "rss_kb": rss}


def _broadcast() -> dict[str, float]:
    """Return CPU seconds per send, through the extension and as bare ``socket.send`` calls."""
    if not connections:
        return {}
    frame = next(iter(connections)).make_frame(b"x" * 300)
    sockets = [connection.sock for connection in connections]
    direct = bare = 0.0
    for _ in range(_ROUNDS):
        begin = time.process_time()
        for connection in connections:
            connection.send_frame(frame)
        middle = time.process_time()
        for sock in sockets:
            sock.send(frame)
        direct += middle - begin
        bare += time.process_time() - middle
    return {"direct": direct / _ROUNDS / len(sockets), "bare": bare / _ROUNDS / len(sockets)}
