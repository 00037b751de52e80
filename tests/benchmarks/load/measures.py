"""What the load process measures. Each function takes the scene and returns figures: seconds, counts, shares."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Any, Final

from realtime.loadtest.crowd import Client, Crowd
from realtime.loadtest.histogram import Histogram
from realtime.loadtest.marks import find_mark
from realtime.loadtest.tally import Tally
from tests.benchmarks.load.publishers import Addressed
from tests.benchmarks.load.scene import Scene, message, room_name

Figures = dict[str, Any]

_BROADCAST_TIMEOUT: Final = 30.0
_SETTLE: Final = 1.5
"""What a server does after a connect, such as looking for stored messages, is over then."""
_STILL: Final = 3.0
"""Nothing for so long means that the rest will not come."""


async def connect(scene: Scene, *, count: int, addressed: bool = False, concurrency: int = 128) -> Figures:
    """Open ``count`` more connections as fast as the server takes them."""
    scene.addressed = addressed
    scene.mint(len(scene.crowd.clients) + count)
    cpu = time.process_time()
    result = await scene.crowd.connect(count, concurrency=concurrency)
    return {
        "opened": result.opened,
        "rate": result.rate,
        "failures": dict(result.failures),
        "p99": result.latency.percentile(99),
        "client_share": (time.process_time() - cpu) / result.seconds,
    }


async def close(scene: Scene) -> Figures:
    """End all connections."""
    await scene.crowd.close()
    return {}


async def broadcast(scene: Scene, *, number: int, size: int = 300) -> Figures:
    """Publish one broadcast and wait until it has reached everybody; times in seconds since the PUBLISH."""
    crowd, wanted = scene.crowd, sum(1 for _ in scene.crowd.alive)
    stamps: list[float] = []
    done = asyncio.Event()
    tag = f"@lt:{scene.name}:b:{number}:".encode()

    def receive(client: Client, payload: bytes, at: float) -> None:
        if tag in payload:
            stamps.append(at)
            if len(stamps) == wanted:
                done.set()

    crowd.on_message = receive
    text = message("broadcast", scene.name, "b", number, size=size)
    cpu, begun = time.process_time(), time.perf_counter()
    # In a thread: Nchan answers the publisher only when it has written to everybody.
    await asyncio.get_running_loop().run_in_executor(None, scene.publisher.publish, "broadcast", "", text)
    await _reached(done, _BROADCAST_TIMEOUT)
    took = (stamps[-1] if stamps else time.perf_counter()) - begun
    busy = time.process_time() - cpu
    at_share = [stamps[int(len(stamps) * share)] - begun for share in (0, 0.5, 0.99)] if stamps else [0.0, 0.0, 0.0]
    return {
        "first": at_share[0],
        "p50": at_share[1],
        "p99": at_share[2],
        "last": took,
        "rate": len(stamps) / took,
        "deliveries": len(stamps),
        "lost": wanted - len(stamps),
        "client_share": busy / took,
    }


async def keep_broadcasting(scene: Scene, *, size: int = 300) -> Figures:
    """Broadcast in the background until told to stop, half of the time: as long a pause as each one took."""
    scene.stop_broadcasting = False

    async def run() -> Figures:
        results: list[Figures] = []
        while not scene.stop_broadcasting:
            results.append(await broadcast(scene, number=1_000_000 + len(results), size=size))
            await asyncio.sleep(results[-1]["last"])
        return {"broadcasts": len(results), "lost": sum(result["lost"] for result in results)}

    scene.background = asyncio.create_task(run())
    return {}


async def stop_broadcasting(scene: Scene) -> Figures:
    """End ``keep_broadcasting`` and return what it did."""
    scene.stop_broadcasting = True
    assert scene.background is not None
    figures: Figures = await scene.background
    return figures


async def unicast(scene: Scene, *, count: int, rate: float) -> Figures:
    """Publish ``count`` messages to users of this process at random times, ``rate`` a second on average."""
    latency, done, run = Histogram(), asyncio.Event(), f"{scene.name}-u{random.randrange(1_000_000)}"
    run_bytes = run.encode()

    def receive(client: Client, payload: bytes, at: float) -> None:
        mark = find_mark(payload)
        if mark and mark.run == run_bytes:
            latency.add(at - mark.sent_ns / 1e9)
            if latency.count == count:
                done.set()

    scene.crowd.on_message = receive
    loop = asyncio.get_running_loop()
    for number in range(count):
        await asyncio.sleep(random.expovariate(rate))
        user = random.choice(scene.crowd.clients).user_id
        text = message("chat", run, "u", number, to=user)
        await loop.run_in_executor(None, scene.publisher.publish, "user", user, text)
    await _reached(done, _STILL)
    return {
        "p50": latency.percentile(50),
        "p99": latency.percentile(99),
        "max": latency.maximum,
        "lost": count - latency.count,
    }


async def rooms(scene: Scene, *, count: int, members: int, seconds: float, size: int = 200) -> Figures:
    """Let every member of ``count`` rooms send its next message when its last one has come back, for ``seconds``."""
    crowd = scene.room_crowd(members)
    await crowd.connect(count * members)
    await _join(scene, crowd, members)
    deliveries, sent, running = 0, 0, True

    def send(client: Client) -> None:
        nonlocal sent
        sent += 1
        text = message("room_message", "room", str(client.index), sent, size=size, room=client.key)
        client.send(text)

    def receive(client: Client, payload: bytes, at: float) -> None:
        nonlocal deliveries
        if b"@lt:room:" in payload:
            deliveries += 1
            if running and own[client.index] in payload:
                send(client)

    own = [f"@lt:room:{index}:".encode() for index in range(len(crowd.clients))]
    crowd.on_message = receive
    for client in crowd.clients:
        send(client)
    await asyncio.sleep(seconds * 0.1)
    before, cpu, begun = deliveries, time.process_time(), time.perf_counter()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - begun
    figures = {
        "rate": (deliveries - before) / took,
        "messages": (deliveries - before) / members / took,
        "client_share": (time.process_time() - cpu) / took,
    }
    running = False
    await _until_still(lambda: deliveries)
    await crowd.close()
    return figures | {"sent": sent, "deliveries": deliveries, "lost": sent * members - deliveries}


async def _join(scene: Scene, crowd: Crowd, members: int) -> None:
    joined = 0
    done = asyncio.Event()

    def receive(client: Client, payload: bytes, at: float) -> None:
        nonlocal joined
        joined += b'"ack"' in payload
        if joined == len(crowd.clients):
            done.set()

    crowd.on_message = receive
    for client in crowd.clients:
        client.key = room_name(client.index // members)
        if scene.route.join_rooms:
            client.send(f'{{"type":"join_room","id":"join","content":"{client.key}"}}'.encode())
    if scene.route.join_rooms:
        await asyncio.wait_for(done.wait(), 60)


async def bridge(scene: Scene, *, users: int, messages: int, size: int = 300, batch: int = 100) -> Figures:
    """Publish to ``users`` users in turn as fast as Redis takes it; what arrives must be all of it, in order."""
    tally, done = Tally(), asyncio.Event()
    last = 0.0
    targets = scene.crowd.clients[:users]
    for client in targets:
        tally.open(client.user_id, [client.index])

    def receive(client: Client, payload: bytes, at: float) -> None:
        nonlocal last
        mark = find_mark(payload)
        if mark and mark.run == b"bridge":
            last = at
            tally.receive(client.index, mark.stream.decode(), mark.sequence)
            if tally.received >= messages:
                done.set()

    def produce() -> Iterator[Addressed]:
        for number in range(messages):
            user = targets[number % len(targets)].user_id
            yield "user", user, message("chat", "bridge", user, tally.publish(user), size=size, to=user)

    scene.crowd.on_message = receive
    cpu, begun = time.process_time(), time.perf_counter()
    await scene.publisher.publish_many(produce(), batch=batch)
    published = time.perf_counter() - begun
    await _reached(done, 30)
    took = last - begun
    outcome = tally.outcome()
    return {
        "rate": (outcome.received - outcome.duplicates) / took if took > 0 else 0.0,
        "published_in": published,
        "lost": outcome.lost,
        "reordered": outcome.reordered,
        "duplicates": outcome.duplicates,
        "client_share": (time.process_time() - cpu) / took if took > 0 else 0.0,
    }


async def slow_reader(scene: Scene, *, megabytes: int, size: int = 100_000, others: int = 5) -> Figures:
    """Send ``megabytes`` to a room in which one member has stopped reading."""
    crowd = scene.room_crowd(others + 1)
    await crowd.connect(others + 1)
    await _join(scene, crowd, others + 1)
    await asyncio.sleep(_SETTLE)
    sleeper, *readers = crowd.clients
    assert sleeper.transport is not None
    tally, progressed = Tally(), asyncio.Event()
    tally.open("room", [client.index for client in readers])
    total, window = megabytes * 1_000_000 // size, 4_000_000 // size

    def receive(client: Client, payload: bytes, at: float) -> None:
        mark = find_mark(payload)
        if mark and mark.run == b"slow" and client is not sleeper:
            tally.receive(client.index, "room", mark.sequence)
            progressed.set()

    crowd.on_message = receive
    sleeper.transport.underlying_transport.pause_reading()
    begun = time.perf_counter()
    for number in range(1, total + 1):
        text = message("room_message", "slow", "room", tally.publish("room"), size=size, room=room_name(0))
        await asyncio.get_running_loop().run_in_executor(None, scene.publisher.publish, "room", room_name(0), text)
        if not await _caught_up(tally, (number - window) * others, progressed):
            break
    await _until_still(lambda: tally.received)
    took = time.perf_counter() - begun
    sleeper.transport.underlying_transport.resume_reading()
    await _until_still(lambda: sleeper.close_code, 1.0)
    outcome = tally.outcome()
    figures = {"seconds": took, "cut_with": sleeper.close_code, "lost": outcome.lost, "reordered": outcome.reordered}
    await crowd.close()
    return figures


async def _caught_up(tally: Tally, wanted: int, progressed: asyncio.Event) -> bool:
    """Wait until ``wanted`` deliveries were made; False when they stopped coming."""
    while tally.received < wanted:
        if not await _reached(progressed, _STILL):
            return False
        progressed.clear()
    return True


async def _reached(event: asyncio.Event, timeout: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), timeout)
    except TimeoutError:
        return False
    return True


async def _until_still(counter: Any, still: float = 0.5) -> None:
    """Wait until ``counter()`` has stayed the same for ``still`` seconds."""
    seen, since = counter(), time.perf_counter()
    while time.perf_counter() - since < still:
        await asyncio.sleep(0.05)
        if counter() != seen:
            seen, since = counter(), time.perf_counter()
