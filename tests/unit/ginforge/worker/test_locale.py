"""The Chinese texts are complete."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path

import ginforge.worker

FOLDER = Path(ginforge.worker.__file__).parent
MARKS = ("_", "_gettext", "ngettext")


def texts() -> set[str]:
    """Return every text of the app that is marked for translation."""
    found = set()
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(text)), *_]) if name in MARKS:
                    found.add(text)
    return found


def test_every_text_is_translated_with_the_same_placeholders():
    with (FOLDER / "locale/zh_Hans/LC_MESSAGES/django.mo").open("rb") as file:
        chinese = gettext.GNUTranslations(file)
    assert len(texts()) > 30
    for text in texts():
        translated = chinese.ngettext(text, text, 2) if "%(count)d job" in text else chinese.gettext(text)
        assert translated != text, text
        assert sorted(re.findall(r"%\(\w+\)\w", translated)) == sorted(re.findall(r"%\(\w+\)\w", text))
