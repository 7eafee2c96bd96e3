"""A form's files are received as they come, its fields are the words of the JSON body."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from atelier.assets.multipart import InvalidUpload
from atelier.assets.parts import Parts
from atelier.dialects.auth import Call
from atelier.intake.inputs import MOST_RECEIVED, Receipts
from atelier.kit.http import bodies

MOST_FIELDS = 64
FIELD_BYTES = 200_000
OVERHEAD_BYTES = 1_000_000
"""What fields and boundaries may take besides the files."""

PLAIN = frozenset({"workflow_id", "version", "prompt", "negative_prompt", "input_image", "mask", "character_id"})
"""Fields that are text as they stand; all others are JSON."""


@dataclass(slots=True)
class Form:
    """`files`: ids of the assets that the files became, by the name of their field."""

    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    files: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


async def read_form(request: Request, call: Call, receipts: Receipts) -> Form:
    """Raises MalformedUpload, InvalidUpload, BodyTooLarge, InvalidInput, MalformedBody."""
    services = call.services
    body = bodies.limited(request, services.upload_limit + OVERHEAD_BYTES)
    parts, form = Parts(request.headers.get("content-type"), body), Form()
    inputs, account_id = services.generation.inputs, call.caller.account_id
    for _ in range(MOST_FIELDS + MOST_RECEIVED):
        begin = await parts.begin()
        if begin is None:
            return form
        if begin.filename is None:
            _take_field(form, begin.name, await parts.text(FIELD_BYTES))
            continue
        _check_name(begin.name)
        asset = await inputs.received(account_id, begin.name, _file(parts), receipts, begin.filename)
        form.files.setdefault(begin.name, []).append(str(asset.id))
    raise InvalidUpload(f"The form has more than {MOST_FIELDS} fields.")


def _take_field(form: Form, name: str, text: str | None) -> None:
    _check_name(name)
    if text is None:
        raise InvalidUpload(f"The field {name} is longer than {FIELD_BYTES} bytes.")
    if name in form.fields:
        raise InvalidUpload(f"The field {name} came more than once.")
    form.fields[name] = _text(text) if name in PLAIN else _json(name, text)


def _check_name(name: str) -> None:
    if not 0 < len(name) <= 64 or not name.isprintable():
        raise InvalidUpload("A field of the form has no name that could be one.")


def _text(text: str) -> str:
    """Raises MalformedBody for what cannot be stored."""
    said = bodies.parse_json(json.dumps(text, ensure_ascii=True).encode())
    return str(said)


def _json(name: str, text: str) -> Any:
    try:
        return bodies.parse_json(text.encode())
    except bodies.MalformedBody as fault:
        raise bodies.MalformedBody(f"The field {name} must be JSON. {fault.message}") from None


async def _file(parts: Parts) -> AsyncIterator[bytes]:
    async for chunk in parts.data():
        yield chunk
