"""``manage.py check``: a wrong key in ``settings.WORKER`` or a hook that is not there."""

from __future__ import annotations

from typing import Any

from django.core.checks import Error, register
from django.utils.module_loading import import_string

from ginforge.worker.conf import HOOKS, get_settings


@register()
def check_settings(app_configs: Any, **kwargs: Any) -> list[Error]:  # noqa: ARG001  # as Django calls it
    """Return what is wrong with ``settings.WORKER``."""
    get_settings.cache_clear()
    try:
        conf = get_settings()
    except ValueError as error:
        return [Error(f"WORKER: {error}", id="worker.E001")]
    paths = [getattr(conf, name) for name in HOOKS] + list(conf.cleanup_steps)
    return [Error(f"WORKER: {path} cannot be imported", id="worker.E002") for path in paths if not _importable(path)]


def _importable(path: str) -> bool:
    try:
        return callable(import_string(path))
    except ImportError:
        return False
