"""The Celery application: ``celery -A ginforge worker`` and ``celery -A ginforge beat``."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ginforge.settings")

app = Celery("ginforge", config_source="ginforge.worker.celeryconfig", include=["ginforge.worker.tasks"])
