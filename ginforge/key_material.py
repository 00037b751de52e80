"""Secrets: which are good enough for production, and where development keeps its own."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Final

MIN_SECRET_BYTES: Final = 32
DEVELOPMENT_FILE: Final = "secrets.json"
DEVELOPMENT_NAMES: Final = ("SECRET_KEY", "JWT_SIGNING_KEY", "DEV_PASSWORD")


def weakness(secret: str) -> str | None:
    """Say what is wrong with a secret, or return None when it may go to production."""
    if not secret:
        return "is missing"
    if secret.startswith("django-insecure"):
        return "is one of Django's insecure defaults"
    if len(secret.encode()) < MIN_SECRET_BYTES:
        return f"is shorter than {MIN_SECRET_BYTES} bytes"
    if len(set(secret)) < 8:
        return "repeats too few characters"
    return None


def refusal(named_secrets: dict[str, str]) -> str | None:
    """Return one line for stderr that names every weak secret, or None when all are good."""
    problems = [f"{name} {problem}" for name, secret in named_secrets.items() if (problem := weakness(secret))]
    if not problems:
        return None
    return (
        f"ginforge: refusing to start: {' and '.join(problems)}. "
        "Set it to at least 32 random bytes (or DEBUG=1 for development)."
    )


def development_secret(directory: Path, name: str) -> str:
    """Return the development secret ``name``, kept in ``directory`` (0600), so that restarts keep tokens valid.

    The first process to ask creates it; a read-only directory gives a secret for this process only.
    """
    path = directory / DEVELOPMENT_FILE
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        found = json.loads(path.read_text(encoding="utf-8"))[name]
    except (OSError, ValueError, KeyError):
        return secrets.token_urlsafe(48)
    return str(found)


def _create(path: Path) -> None:
    """Write all development secrets at once; of two processes that race, the first one wins."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    values = {name: secrets.token_urlsafe(48) for name in DEVELOPMENT_NAMES}
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(values, file)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
