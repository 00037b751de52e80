"""The AsyncAPI 3 document of the WebSocket, made from the catalogue of message types."""

from __future__ import annotations

from typing import Any

import msgspec

from realtime.catalogue import CATALOGUE, MessageType, content_schemas
from realtime.codes import CloseCode, ErrorCode

_REF = "#/components/schemas/{name}"


def build_document() -> dict[str, Any]:
    """Return the document as JSON-ready data; the same for the same code."""
    incoming = [row for row in CATALOGUE if row.client]
    outgoing = [row for row in CATALOGUE if row.server]
    messages = {f"{row.name}.client": _message(row, "client") for row in incoming}
    messages |= {f"{row.name}.server": _message(row, "server") for row in outgoing}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "GinForge realtime gateway",
            "version": "1",
            "description": "One JSON object per text frame. Error codes: "
            + ", ".join(f"{code.value} {code.name.lower()}" for code in ErrorCode)
            + ". Close codes: "
            + ", ".join(f"{code.value} {code.name.lower()}" for code in CloseCode)
            + ".",
        },
        "defaultContentType": "application/json",
        "channels": {
            "gateway": {
                "address": "/ws",
                "description": "Token: Sec-WebSocket-Protocol `bearer, <jwt>`, Authorization header, or ?token=.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET", "query": _query(), "bindingVersion": "0.1.0"}},
            }
        },
        "operations": {
            **{f"receive_{row.name}": _operation(row, "receive", "client") for row in incoming},
            **{f"send_{row.name}": _operation(row, "send", "server") for row in outgoing},
        },
        "components": {"messages": messages, "schemas": content_schemas()},
    }


def _query() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "token": {"type": "string", "description": "A JWT, for trying things out."},
            "resume": {"type": "string", "enum": ["1"], "description": "Live messages wait for the resume."},
        },
    }


def _operation(row: MessageType, action: str, side: str) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "action": action,
        "channel": {"$ref": "#/channels/gateway"},
        "summary": row.summary,
        "messages": [{"$ref": f"#/channels/gateway/messages/{row.name}.{side}"}],
    }
    if row.reply is not None and side == "client":
        operation["reply"] = {
            "channel": {"$ref": "#/channels/gateway"},
            "messages": [{"$ref": f"#/channels/gateway/messages/{row.reply}.server"}],
        }
    return operation


def _message(row: MessageType, side: str) -> dict[str, Any]:
    properties: dict[str, Any] = {"type": {"const": row.name}, "id": {"type": ["string", "integer"]}}
    required = ["type"]
    if row.target is not None:
        properties[row.target] = {"type": "string", "minLength": 1, "maxLength": 512}
        required += [row.target] if side == "client" else []
    if row.content is not None or side == "server":
        properties["content"] = _schema(row.content)
        required.append("content")
    if side == "server":
        properties |= {
            "from": {"type": "string"},
            "from_name": {"type": "string"},
            "timestamp": {"type": "integer", "minimum": 0, "description": "Unix seconds."},
        }
        required.append("timestamp")
        if row.data is not None:
            properties["data"] = _schema(row.data)
    return {
        "name": row.name,
        "title": row.name,
        "summary": row.summary,
        "payload": {"type": "object", "required": required, "properties": properties},
    }


def _schema(kind: Any) -> dict[str, Any]:
    if kind is None:
        return {"type": "null"}
    if kind is Any:
        return {"description": "Any JSON value."}
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema
