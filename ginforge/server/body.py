"""The body of an HTTP request as the application reads it: from where it was spooled, a chunk at a time."""

from typing import BinaryIO, Final

from ginforge.server.inbox import Event, Inbox

_CHUNK: Final = 64 * 1024


class BodyInbox(Inbox):
    """Gives the body chunk by chunk, then whatever else comes.

    Daphne puts a whole upload into its queue, so that it is in memory a second time before the application sees a byte.
    """

    __slots__ = ("_body", "_left")

    def __init__(self, body: BinaryIO) -> None:
        super().__init__()
        self._left = body.seek(0, 2)
        body.seek(0)
        self._body: BinaryIO | None = body

    def __bool__(self) -> bool:
        """Be true also when empty: Daphne takes a false queue for none, and keeps http.disconnect to itself."""
        return True

    def put_nowait(self, event: Event) -> int:
        """Append an event; those with parts of the body are Daphne's, and ours come from the body itself."""
        return 0 if event["type"] == "http.request" else super().put_nowait(event)

    async def get(self) -> Event:
        """Wait for the next event."""
        if self._body is None:
            return await super().get()
        chunk = self._body.read(_CHUNK)
        self._left -= len(chunk)
        more = bool(chunk) and self._left > 0
        if not more:
            self.close()
        return {"type": "http.request", "body": chunk, "more_body": more}

    def close(self) -> None:
        """Give up the body, and the file it may be in."""
        if self._body is not None:
            self._body.close()
            self._body = None
