"""What the OpenAPI document says of a stream: it has no word for one event, so each has a schema of its own."""

from typing import Any

from pydantic import BaseModel


def event_schema(name: str, data: type[BaseModel]) -> dict[str, Any]:
    """One event of this name; its data are a model that the document has among its schemas."""
    content = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"#/components/schemas/{data.__name__}"},
    }
    properties = {"event": {"const": name}, "id": {"type": "string"}, "data": content}
    return {"type": "object", "properties": properties, "required": ["event", "data"]}
