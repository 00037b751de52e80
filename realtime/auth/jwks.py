"""Verifying keys from a JSON Web Key Set, a file or a URL (RFC 7517): read in the background, never for a token.

A token's ``kid`` only chooses among the keys of the set, and nothing in a token (``jku``, ``x5u``, ``jwk``) ever names
another source. While the source cannot be read, the keys it gave last go on; before the first, no token is good.
"""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jwt

from realtime.codes import RealtimeError

logger = logging.getLogger(__name__)

MAX_BYTES: Final = 262_144
MAX_KEYS: Final = 32
_TIMEOUT: Final = 3.0
_RETRY: Final = 5.0
"""Seconds between attempts while the source cannot be read."""
_SYMMETRIC: Final = "HS"


class KeySetError(RealtimeError):
    """A key set that cannot be read, or holds no key for the algorithm."""


@dataclass(frozen=True, slots=True)
class Key:
    """One verifying key; ``kid`` is None when the set gives it no name."""

    kid: str | None
    key: Any


class KeySet:
    """The keys of one source, read again every ``ttl`` seconds; safe to share between threads."""

    def __init__(self, source: str, algorithm: str, *, ttl: float = 300.0) -> None:
        check_source(source, algorithm)
        self._source = source
        self._algorithm = algorithm
        self._ttl = ttl
        self._keys: tuple[Key, ...] = ()
        self._due = 0.0
        self._lock = threading.Lock()

    @property
    def loaded(self) -> bool:
        """Whether the source has been read at least once; asking has it read when it is time."""
        if time.monotonic() >= self._due:
            self._read_soon()
        return bool(self._keys)

    def candidates(self, kid: str | None) -> list[Any]:
        """Return the keys a token may be verified with: those named ``kid``, or all when it names none."""
        if time.monotonic() >= self._due:
            self._read_soon()
        return [key.key for key in self._keys if kid is None or key.kid is None or key.kid == kid]

    def load(self) -> None:
        """Read the source now, blocking for a few seconds at most. Raises ``KeySetError``."""
        with self._lock:
            self._load()

    def _load(self) -> None:
        self._due = time.monotonic() + _RETRY
        self._keys = parse(_read(self._source), self._algorithm)
        self._due = time.monotonic() + self._ttl

    def _read_soon(self) -> None:
        """Read in a thread of its own, unless that is under way."""
        if self._lock.acquire(blocking=False):
            self._due = time.monotonic() + _RETRY
            threading.Thread(target=self._read_in_thread, name="jwks", daemon=True).start()

    def _read_in_thread(self) -> None:
        try:
            self._load()
        except KeySetError as error:
            logger.warning("verifying keys cannot be read", extra={"reason": str(error), "kept": len(self._keys)})
        finally:
            self._lock.release()


def check_source(source: str, algorithm: str) -> None:
    """Raise ``ValueError`` for a source that no key should come from."""
    if algorithm.startswith(_SYMMETRIC):
        raise ValueError("a key set is for public keys: choose an asymmetric algorithm such as RS256 or ES256")
    url = urllib.parse.urlsplit(source)
    if "://" in source and (url.scheme != "https" and url.hostname not in ("127.0.0.1", "::1", "localhost")):
        raise ValueError("a key set must come over https")
    if "://" in source and url.scheme not in ("http", "https"):
        raise ValueError("a key set is a file or an https URL")


def parse(text: bytes, algorithm: str) -> tuple[Key, ...]:
    """Return the keys of a set that fit the algorithm; others are left out. Raises ``KeySetError``."""
    try:
        entries = json.loads(text)["keys"][:MAX_KEYS]
        keys = tuple(key for entry in entries if (key := _key(entry, algorithm)) is not None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise KeySetError(f"not a JSON Web Key Set ({type(error).__name__})") from None
    if not keys:
        raise KeySetError(f"no key for {algorithm}")
    return keys


def _key(entry: dict[str, Any], algorithm: str) -> Key | None:
    """Take one entry, unless it is for encryption, for another algorithm, private or broken."""
    if entry.get("use", "sig") != "sig" or entry.get("alg", algorithm) != algorithm or "d" in entry:
        return None
    kid = entry.get("kid")
    try:
        return Key(kid if isinstance(kid, str) else None, jwt.PyJWK(entry, algorithm=algorithm).key)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


def _read(source: str) -> bytes:
    try:
        if "://" not in source:
            return Path(source).read_bytes()[:MAX_BYTES]
        opener = urllib.request.build_opener(_NoRedirects)
        with opener.open(source, timeout=_TIMEOUT) as answer:
            text: bytes = answer.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise KeySetError(f"{type(error).__name__}: {error}") from None
    if len(text) > MAX_BYTES:
        raise KeySetError(f"larger than {MAX_BYTES} bytes")
    return text


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Another address than the configured one is not trusted."""

    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""
