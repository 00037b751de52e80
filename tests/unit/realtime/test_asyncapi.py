"""The AsyncAPI document is current, complete, and true of what sessions really send."""

from __future__ import annotations

import io
import json
from pathlib import Path

import jsonschema
import msgspec
import pytest
from django.core.management import CommandError, call_command

from realtime.asyncapi import build_document
from realtime.catalogue import CATALOGUE
from realtime.codes import ErrorCode
from realtime.conf import RealtimeSettings
from realtime.principal import Principal
from realtime.protocol import CLIENT_TYPES, SERVER_TYPES
from realtime.sequencer import Position
from realtime.session import Session, error_text, resumed_text

COMMITTED = Path(__file__).resolve().parents[3] / "docs" / "asyncapi.json"


def test_the_committed_document_is_current() -> None:
    call_command("asyncapi", check=COMMITTED, stdout=io.StringIO())


def test_a_document_that_is_not_current_fails_the_check(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="not current"):
        call_command("asyncapi", check=tmp_path / "missing.json")


def test_the_catalogue_has_every_type_of_the_protocol() -> None:
    assert {row.name for row in CATALOGUE if row.client} == CLIENT_TYPES
    assert {row.name for row in CATALOGUE} == CLIENT_TYPES | SERVER_TYPES


def test_every_reference_leads_somewhere() -> None:
    document = build_document()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            reference = value.get("$ref")
            if isinstance(reference, str):
                found: object = document
                for part in reference.removeprefix("#/").split("/"):
                    assert isinstance(found, dict)
                    found = found[part]
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(document)


def session() -> Session:
    return Session(Principal("42", "Ann", is_staff=False, jti=None, expires_at=2e9), "c1", RealtimeSettings(), 0.0)


FRAMES = {
    "welcome": session().welcome("n1", {"user": Position("e", 1)}, "Connected"),
    "ack": session().ack("1", {"room": "r"}),
    "error": error_text(ErrorCode.FORBIDDEN, "no", "1"),
    "resumed": resumed_text({"user": {"recovered": True, "count": 0, "epoch": "e", "offset": 1}}),
    "pong": session().receive(b'{"type":"ping"}', 0.0).text,  # type: ignore[union-attr]
    "chat": session().receive(b'{"type":"chat","to":"7","content":"hi"}', 0.0).text,  # type: ignore[union-attr]
}


@pytest.mark.parametrize("name", FRAMES)
def test_what_a_session_sends_fits_the_document(name: str) -> None:
    document = build_document()
    schema = {**document["components"]["messages"][f"{name}.server"]["payload"], "components": document["components"]}
    jsonschema.validate(msgspec.json.decode(FRAMES[name]), schema)


def test_a_frame_that_lacks_its_timestamp_does_not_fit() -> None:
    document = build_document()
    schema = {**document["components"]["messages"]["pong.server"]["payload"], "components": document["components"]}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"type": "pong", "content": None}, schema)


def test_the_command_prints_json() -> None:
    out = io.StringIO()
    call_command("asyncapi", stdout=out)
    assert json.loads(out.getvalue())["asyncapi"] == "3.0.0"
