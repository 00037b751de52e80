"""Dead letters: ingress messages the bridge refused, as the admin and the staff API see them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from realtime.blocking_redis import redis_or_unavailable
from realtime.keys import DEAD_LETTERS, INGRESS_STREAM

MAX_PAGE: Final = 200
_ID: Final = re.compile(r"\d{1,20}-\d{1,20}", re.ASCII)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused message."""

    id: str
    """Id of the Redis stream entry, ``<Unix milliseconds>-<n>``."""
    channel: str
    payload: bytes
    """As it came, cut at the bridge's limit."""
    size: int
    """Bytes of the whole payload."""
    reason: str
    source: Literal["pubsub", "stream"]
    at: float
    """Unix seconds."""

    @property
    def text(self) -> str:
        """The payload as text; bytes that are not UTF-8 are shown escaped."""
        return self.payload.decode("utf-8", "backslashreplace")

    @property
    def is_whole(self) -> bool:
        """Whether nothing was cut, so that the message can be published again."""
        return len(self.payload) == self.size


def is_letter_id(text: str) -> bool:
    """Tell whether ``text`` has the form of a dead letter's id."""
    return _ID.fullmatch(text) is not None


def count() -> int:
    """Return how many dead letters are kept. Raises ``Unavailable``."""
    with redis_or_unavailable("dead letters cannot be read") as redis:
        return int(redis.xlen(DEAD_LETTERS))


def newest(limit: int = 50, *, before: str | None = None) -> list[DeadLetter]:
    """List the newest dead letters, or those older than the id ``before``. Raises ``Unavailable``."""
    top = f"({before}" if before else "+"
    with redis_or_unavailable("dead letters cannot be read") as redis:
        entries = redis.xrevrange(DEAD_LETTERS, max=top, min="-", count=min(limit, MAX_PAGE))
    return [_letter(entry_id, values) for entry_id, values in entries]


def find(letter_id: str) -> DeadLetter | None:
    """Return one dead letter. Raises ``Unavailable``."""
    with redis_or_unavailable("dead letters cannot be read") as redis:
        entries = redis.xrange(DEAD_LETTERS, min=letter_id, max=letter_id)
    return _letter(*entries[0]) if entries else None


def drop(letter_id: str) -> bool:
    """Remove one dead letter; ``False`` when it is gone already. Raises ``Unavailable``."""
    with redis_or_unavailable("the dead letter could not be dropped") as redis:
        return bool(redis.xdel(DEAD_LETTERS, letter_id))


def replay(letter: DeadLetter) -> None:
    """Hand the message to the bridge again, the way it came, and drop the dead letter.

    Raises ``ValueError`` when its payload was cut, and ``Unavailable``.
    """
    if not letter.is_whole:
        raise ValueError("the payload was cut and cannot be published again")
    with redis_or_unavailable("the dead letter could not be replayed") as redis, redis.pipeline() as pipe:
        if letter.source == "stream":
            pipe.xadd(INGRESS_STREAM, {"channel": letter.channel, "message": letter.payload})
        else:
            pipe.publish(letter.channel, letter.payload)
        pipe.xdel(DEAD_LETTERS, letter.id)
        pipe.execute()


def _letter(entry_id: bytes, values: Mapping[bytes, bytes]) -> DeadLetter:
    def text(name: bytes) -> str:
        return values.get(name, b"").decode("utf-8", "backslashreplace")

    payload = values.get(b"payload", b"")
    return DeadLetter(
        id=entry_id.decode(),
        channel=text(b"channel"),
        payload=payload,
        size=int(_number(values.get(b"size"), len(payload))),
        reason=text(b"reason"),
        source="stream" if values.get(b"source") == b"stream" else "pubsub",
        at=_number(values.get(b"at"), int(entry_id.split(b"-")[0]) / 1000),
    )


def _number(raw: Any, default: float) -> float:
    try:
        return float(raw)
    except (TypeError, ValueError):
        return default
