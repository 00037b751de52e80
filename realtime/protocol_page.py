"""The AsyncAPI document for people: its messages as rows of fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from realtime.asyncapi import build_document
from realtime.codes import CloseCode, ErrorCode

_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message; ``path`` is dotted."""

    path: str
    type: str
    required: bool
    meaning: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message type in one direction."""

    anchor: str
    name: str
    summary: str
    reply: str
    fields: list[Field]


def page_context() -> dict[str, Any]:
    """Build what the template shows."""
    document = build_document()
    return {
        "version": document["asyncapi"],
        "channel": document["channels"]["gateway"],
        "sides": [
            _side(document, "client", "↑", _("What clients send")),
            _side(document, "server", "↓", _("What the server sends")),
        ],
        "codes": [
            {"title": _("Error codes"), "rows": [(code.value, _words(code.name)) for code in ErrorCode]},
            {"title": _("Close codes"), "rows": [(code.value, _words(code.name)) for code in CloseCode]},
        ],
    }


def _side(document: Mapping[str, Any], name: str, arrow: str, title: str) -> dict[str, Any]:
    return {"name": name, "arrow": arrow, "title": title, "messages": _messages(document, name)}


def _messages(document: Mapping[str, Any], side: str) -> list[Message]:
    schemas = document["components"]["schemas"]
    found = []
    for key, message in document["components"]["messages"].items():
        name, _dot, which = key.rpartition(".")
        if which != side:
            continue
        operation = document["operations"].get(f"receive_{name}", {}) if side == "client" else {}
        replies = operation.get("reply", {}).get("messages", [])
        reply = replies[0]["$ref"].rsplit("/", 1)[1].rpartition(".")[0] if replies else ""
        fields = list(_fields(message["payload"], schemas))
        found.append(Message(key, name, message["summary"], reply, fields))
    return found


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any], prefix: str = "", depth: int = 0) -> Iterator[Field]:
    required = set(schema.get("required", ()))
    for name, raw in schema.get("properties", {}).items():
        part = _resolved(raw, schemas)
        meaning = str(part.get("description", raw.get("description", "")))
        yield Field(prefix + name, _type(raw, schemas), name in required, meaning)
        if depth < _DEPTH:
            yield from _fields(part, schemas, f"{prefix}{name}.", depth + 1)


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    return schemas[reference.rsplit("/", 1)[1]] if reference else schema


def _type(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    part = _resolved(schema, schemas)
    if "const" in part:
        return f"“{part['const']}”"
    if "enum" in part:
        return " | ".join(str(value) for value in part["enum"])
    if "anyOf" in part:
        return " | ".join(_type(choice, schemas) for choice in part["anyOf"])
    kind = part.get("type", _("any JSON"))
    if isinstance(part.get("additionalProperties"), dict):
        return f"{{…: {_type(part['additionalProperties'], schemas)}}}"
    return " | ".join(kind) if isinstance(kind, list) else str(kind)


def _words(name: str) -> str:
    return name.lower().replace("_", " ")
