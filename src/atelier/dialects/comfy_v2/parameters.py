"""Parameters that operations read by themselves, as the OpenAPI document lists them."""

from typing import Any

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
                "additionalProperties": {"type": "string", "maxLength": 64},
            },
        },
    ]
}

IDEMPOTENCY_KEY: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Single use within 24 hours: a second job under the same key is refused, never replayed.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
}
