"""The OpenAPI document is true: every operation lists its refusals, and says whether it needs a key."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from atelier.dialects.public import PUBLIC_ROUTES

_WORDS = {
    400: "Malformed: not JSON, an unknown field, a bad parameter, cursor or filter.",
    401: "No key, or one that opens nothing.",
    402: "Not enough credits.",
    403: "The key or the link does not reach that far.",
    404: "There is no such thing, or it is somebody else's.",
    409: "In conflict with what is there.",
    413: "The body is over the limit.",
    416: "The range lies behind the end.",
    422: "Understood, and it cannot be done: the code says why.",
    429: "Too much at once; try again after Retry-After seconds.",
    500: "A fault of ours; the request id names it in our log.",
    503: "The database is away; try again after Retry-After seconds.",
}

_BEARER = {"type": "http", "scheme": "bearer", "description": "An API key of this installation."}

_BINARY = {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}

Responses = dict[int | str, dict[str, Any]]

FILE_ANSWERS: Responses = {
    200: {"description": "The whole file.", **_BINARY},
    206: {"description": "The part that Range asked for.", **_BINARY},
    302: {"description": "The storage serves it at Location for a while."},
    304: {"description": "The client has it: If-None-Match named its hash."},
}

FILE_HEADERS = [
    {"name": "Range", "in": "header", "schema": {"type": "string", "examples": ["bytes=0-1023"]}},
    {"name": "If-None-Match", "in": "header", "schema": {"type": "string"}},
    {"name": "If-Range", "in": "header", "schema": {"type": "string"}},
]


def refusals(model: type[BaseModel], *statuses: int) -> Responses:
    """The error answers of an operation, with those that every operation behind a key can give."""
    content = _json(model)
    return {status: {"description": _WORDS[status], "content": content} for status in (*statuses, 401, 500, 503)}


def answer(status: int, model: type[BaseModel]) -> Responses:
    """The good answer of an operation."""
    return {status: {"model": model}}


def json_body(model: type[BaseModel]) -> dict[str, Any]:
    """For `openapi_extra` of an operation that parses its body itself."""
    return {"requestBody": {"required": True, "content": _json(model)}}


def document(app: FastAPI, models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """FastAPI's document, completed. `models` are the shapes that only bodies and refusals name."""
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = made.setdefault("components", {})
    components["securitySchemes"] = {"bearer": _BEARER}
    schemas = components.setdefault("schemas", {})
    for model in models:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    for path, operations in made["paths"].items():
        for operation in operations.values():
            operation["security"] = [] if path in PUBLIC_ROUTES else [{"bearer": []}]
            _drop_framework_422(operation["responses"])
            _call_streams_no_string(operation["responses"])
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return made


def _json(model: type[BaseModel]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def _drop_framework_422(responses: dict[str, Any]) -> None:
    """FastAPI lists its own 422 beside parameters; ours have one shape of error only."""
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]


def _call_streams_no_string(responses: dict[str, Any]) -> None:
    """FastAPI calls a stream of events one string, beside the schema that the operation gives each event."""
    for answered in responses.values():
        answered.get("content", {}).get("text/event-stream", {}).get("schema", {}).pop("type", None)
