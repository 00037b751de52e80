"""Translations of the app: complete and compiled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.utils import translation

import notifications

CATALOGUE = Path(notifications.__file__).parent / "locale/zh_Hans/LC_MESSAGES/django.po"


def test_no_text_lacks_its_translation():
    text = CATALOGUE.read_text(encoding="utf-8")
    assert "#, fuzzy" not in text
    assert re.findall(r'msgid "(.+)"\nmsgstr(?:\[0\])? ""\n(?!")', text) == []


@pytest.mark.parametrize("text", ["Notifications", "waits for the user", "outbox", "Mark all your messages as read"])
def test_the_compiled_catalogue_is_used(text):
    with translation.override("zh-hans"):
        assert translation.gettext(text) != text
