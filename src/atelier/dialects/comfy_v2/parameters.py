"""Parameters that operations read by themselves, as the OpenAPI document lists them."""

from typing import Any

from pydantic import BaseModel

from atelier.dialects.comfy_v2 import schemas
from atelier.dialects.openapi import json_body

LISTING: dict[str, Any] = {
    "parameters": [
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        },
        {"name": "cursor", "in": "query", "schema": {"type": "string", "pattern": "^[0-9]{0,18}$"}},
        {
            "name": "status",
            "in": "query",
            "description": "Shown states, with commas between them.",
            "schema": {
                "type": "array",
                "items": {
                    "enum": ["queued", "running", "canceling", "succeeded", "canceled", "failed", "expired"]
                },
                "minItems": 1,
            },
            "style": "form",
            "explode": False,
        },
        {
            "name": "metadata",
            "in": "query",
            "description": "Up to three filters, all of which must fit: metadata[key]=value.",
            "style": "deepObject",
            "explode": True,
            "schema": {
                "type": "object",
                "maxProperties": 3,
                "propertyNames": {"pattern": "^[A-Za-z0-9_.-]{1,40}$"},
                "additionalProperties": {"type": "string", "maxLength": 256},
            },
        },
    ]
}

UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "description": "The fields come before the file.",
                    "properties": {
                        "content_type": {"type": "string", "examples": ["image/png"]},
                        "file_path": {"type": "string", "examples": ["photo.png"]},
                        "expected_hash": {"type": "string", "pattern": "^blake3:[0-9a-fA-F]{64}$"},
                        "tags": {"type": "array", "items": {"type": "string"}},
                        "file": {"type": "string", "format": "binary"},
                    },
                    "required": ["file"],
                }
            }
        },
    }
}

BY_HASH: dict[int | str, dict[str, Any]] = {
    200: {"description": "Known: from-hash will work for an hour."},
    401: {"description": "No key, or one that opens nothing."},
    404: {"description": "Unknown to this account."},
    500: {"description": "A fault of ours."},
    503: {"description": "The database is away."},
}

EVENT_DATA: dict[str, type[BaseModel]] = {
    "status": schemas.StatusEvent,
    "progress": schemas.Progress,
    "preview": schemas.PreviewEvent,
    "output": schemas.Output,
    "log": schemas.LogEvent,
}


def _event(name: str, data: type[BaseModel]) -> dict[str, Any]:
    content = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"#/components/schemas/{data.__name__}"},
    }
    properties = {"event": {"const": name}, "data": content}
    return {"type": "object", "properties": properties, "required": ["event", "data"]}


EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Where the job stands, then what changes; the stream ends after a terminal status.",
        "content": {"text/event-stream": {"schema": {"oneOf": [_event(*named) for named in EVENT_DATA.items()]}}},
    }
}
"""OpenAPI 3.1 has no word for one event of a stream, so the schema is that of each event by itself."""

IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Single use within 24 hours: a second job under the same key is refused, never replayed.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}

PRIORITY: dict[str, Any] = {
    "name": "X-Atelier-Priority",
    "in": "header",
    "description": "The job's class: 10 runs first, 5 is everybody's. One above the key's highest is lowered.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 10, "default": 5},
}

ON_BEHALF_OF: dict[str, Any] = {
    "name": "X-On-Behalf-Of",
    "in": "header",
    "description": "The end user for whom this account asks: each has a share and running limits like an account."
    " Only with a key that was made with --on-behalf, or an admin's.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128, "pattern": "^[!-~]([ -~]{0,126}[!-~])?$"},
}

SUBMIT: dict[str, Any] = {
    "parameters": [IDEMPOTENCY_KEY, PRIORITY, ON_BEHALF_OF],
    **json_body(schemas.NewJob),
}

_ACCEPTED: dict[str, Any] = {
    "Location": {"description": "The job's address.", "schema": {"type": "string", "format": "uri"}},
    "X-Atelier-Priority": {
        "description": "The class that the job was given.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 10},
    },
    "X-Atelier-Notice": {
        "description": "That its class was lowered to the highest of this key, in words.",
        "schema": {"type": "string"},
    },
}

ACCEPTED: dict[int | str, dict[str, Any]] = {201: {"model": schemas.Job, "headers": _ACCEPTED}}
