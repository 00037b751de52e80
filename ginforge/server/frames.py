"""WebSocket frames as a server writes them: unmasked, unfragmented (RFC 6455 section 5)."""

from typing import Final

PING: Final = b"\x89\x00"
_MAX_REASON: Final = 123


def text_frame(payload: bytes) -> bytes:
    """Return one text frame holding UTF-8 ``payload``; the bytes may be sent to any number of peers."""
    return _frame(0x81, payload)


def binary_frame(payload: bytes) -> bytes:
    """Return one binary frame holding ``payload``."""
    return _frame(0x82, payload)


def pong_frame(payload: bytes) -> bytes:
    """Return the answer to a ping that carried ``payload`` (at most 125 bytes)."""
    return _frame(0x8A, payload)


def close_frame(code: int | None, reason: str = "") -> bytes:
    """Return a close frame; a reason over 123 bytes is cut on a character boundary (section 5.5)."""
    if code is None:
        return b"\x88\x00"
    text = reason.encode()[:_MAX_REASON].decode(errors="ignore").encode()
    return _frame(0x88, code.to_bytes(2, "big") + text)


def is_sendable(code: int) -> bool:
    """Tell whether ``code`` may stand in a close frame (section 7.4; 1004 to 1006 and 1015 may not)."""
    return (1000 <= code <= 1014 and not 1004 <= code <= 1006) or 3000 <= code <= 4999


def unmask(key: bytes, payload: bytes) -> bytes:
    """Undo a client's masking; ``key`` is 4 bytes (section 5.3)."""
    size = len(payload)
    mask = key * ((size + 3) >> 2)
    number = int.from_bytes(payload, "little") ^ int.from_bytes(mask[:size], "little")
    return number.to_bytes(size, "little")


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload
