"""Translations: complete and compiled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.utils import translation

import realtime

CATALOGUE = Path(realtime.__file__).parent / "locale/zh_Hans/LC_MESSAGES/django.po"


def test_no_text_lacks_its_translation() -> None:
    text = CATALOGUE.read_text(encoding="utf-8")
    assert "#, fuzzy" not in text
    assert re.findall(r'msgid "(.+)"\nmsgstr(?:\[0\])? ""\n(?!")', text) == []


@pytest.mark.parametrize("text", ["Log in", "The token has expired", "Dead letters"])
def test_the_compiled_catalogue_is_used(text: str) -> None:
    with translation.override("zh-hans"):
        assert translation.gettext(text) != text
