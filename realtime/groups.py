"""Channel-layer group names that are safe for any user id and any room name, without collisions."""

from __future__ import annotations

import hashlib
import re
from typing import Final

BROADCAST: Final = "broadcast"
CONTROL: Final = "control"

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]{1,80}", re.ASCII)
_HASHED_PREFIX: Final = "hashed-name.sha256."
"""With the 64 hexadecimal digits behind it, longer than any plain name, so that the two never meet."""


def safe_name(name: str) -> str:
    """Return ``name`` itself when every channel layer accepts it, else a SHA-256 of its UTF-8 bytes.

    Plain names have at most 80 characters, hashed ones 83, so no name can pose as another's hash.
    """
    if _PLAIN.fullmatch(name):
        return name
    return _HASHED_PREFIX + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def user_group(user_id: str) -> str:
    """Group of all connections of one user."""
    return "user." + safe_name(user_id)


def room_group(room: str) -> str:
    """Group of all members of one room."""
    return "room." + safe_name(room)
