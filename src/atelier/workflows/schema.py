"""One manifest gives the form of every face: JSON Schema for programs and agents, and what older clients read."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from atelier.workflows import kinds
from atelier.workflows.kinds import Models
from atelier.workflows.model import Kind, Manifest, Parameter
from atelier.workflows.values import LORA_STRENGTH

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TOP = ("prompt", "negative_prompt", "input_image", "mask")
"""What stands beside `params` in an example."""
PICTURE = "https://example.com/picture.png"
SIZE = "^[0-9]{1,5}x[0-9]{1,5}$"
FILE: Final[Mapping[str, Any]] = {
    "anyOf": [
        {"type": "string", "description": "An asset's id, an http(s) address or a data: URI."},
        {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
        {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]},
    ]
}
"""How a file may be named in a request."""


def of(manifest: Manifest, language: str = "en", models: Models | None = None) -> dict[str, Any]:
    """JSON Schema 2020-12 of `params`. `models`: the fleet's files, offered as choices."""
    properties = {one.name: _property(one, language, models) for one in manifest.parameters}
    loras = manifest.first(Kind.LORAS)
    if loras is not None and LORA_STRENGTH not in properties:
        bounds = loras.strength
        properties[LORA_STRENGTH] = _full(
            type="number", minimum=bounds.minimum, maximum=bounds.maximum, description="Strength of all LoRAs."
        )
    needed = [one for one in manifest.parameters if one.required]
    schema: dict[str, Any] = {
        "$schema": DIALECT,
        "title": manifest.name.in_language(language),
        "type": "object",
        "properties": properties,
        "required": [one.name for one in needed if one.depends_on is None],
        "additionalProperties": False,
    }
    conditional = [_condition(one) for one in needed if one.depends_on]
    return schema | ({"allOf": conditional} if conditional else {})


def wire(manifest: Manifest, language: str = "en") -> dict[str, Any]:
    """`configurable_params`: name to type, bounds, default and words."""
    return {one.name: _described(one, language) for one in manifest.parameters}


def payload(manifest: Manifest) -> dict[str, Any]:
    """A body of generate that makes sense: the first example, or what must be said."""
    said = dict(manifest.examples[0].params) if manifest.examples else {}
    for one in manifest.parameters:
        if one.required and one.name not in said and one.depends_on is None:
            said[one.name] = _sample(one)
    top: dict[str, Any] = {name: said.pop(name) for name in TOP if name in said}
    return {"workflow_id": manifest.id, **top, "params": said}


def _described(one: Parameter, language: str) -> dict[str, Any]:
    least, most = kinds.bounds(one)
    strength = one.strength
    return _full(
        type=one.kind.value,
        required=one.required,
        min=least,
        max=most,
        step=one.step,
        default=one.default,
        label=one.label.in_language(language) or None,
        description=one.help.in_language(language) or one.label.in_language(language),
        unit=one.unit or None,
        group=one.group or None,
        advanced=one.advanced,
        folder=one.folder or None,
        choices=[_choice(one, place, language) for place in range(len(one.choices))] or None,
        depends_on=_depends_on(one),
        strength={"default": strength.default, "min": strength.minimum, "max": strength.maximum}
        if one.kind is Kind.LORAS
        else None,
    )


def _choice(one: Parameter, place: int, language: str) -> dict[str, Any]:
    choice = one.choices[place]
    return _full(
        value=choice.value,
        label=choice.label.in_language(language) or None,
        width=choice.width or None,
        height=choice.height or None,
    )


def _depends_on(one: Parameter) -> dict[str, Any] | None:
    condition = one.depends_on
    return {"parameter": condition.parameter, "values": list(condition.values)} if condition else None


def _property(one: Parameter, language: str, models: Models | None) -> dict[str, Any]:
    words = {
        "title": one.label.in_language(language) or None,
        "description": one.help.in_language(language) or None,
        "default": one.default,
        "x-unit": one.unit or None,
        "x-group": one.group or None,
        "x-advanced": one.advanced or None,
        "x-type": one.kind.value,
        "x-depends-on": _depends_on(one),
    }
    return _full(**_TYPES[one.kind](one, language, models), **words)


def _number(one: Parameter, _language: str, _models: Models | None) -> dict[str, Any]:
    """A value off the step is taken to the nearest, so the step is no rule of the schema."""
    least, most = kinds.bounds(one)
    kind = "number" if one.kind is Kind.FLOAT else "integer"
    return _full(**{"type": kind, "minimum": least, "maximum": most, "x-step": one.step})


def _text(one: Parameter, _language: str, _models: Models | None) -> dict[str, Any]:
    least, most = kinds.bounds(one)
    return _full(type="string", minLength=least, maxLength=most)


def _bool(_one: Parameter, _language: str, _models: Models | None) -> dict[str, Any]:
    return {"type": "boolean"}


def _enum(one: Parameter, language: str, _models: Models | None) -> dict[str, Any]:
    labels = {choice.value: choice.label.in_language(language) for choice in one.choices if choice.label.en}
    return _full(
        **{
            "type": "string",
            "enum": [choice.value for choice in one.choices],
            "x-labels": labels or None,
        }
    )


def _file(_one: Parameter, _language: str, _models: Models | None) -> dict[str, Any]:
    return dict(FILE)


def _files(one: Parameter, _language: str, _models: Models | None) -> dict[str, Any]:
    least, most = kinds.bounds(one)
    return {"type": "array", "items": dict(FILE), "minItems": least, "maxItems": most}


def _model(one: Parameter, language: str, models: Models | None) -> dict[str, Any]:
    if one.choices:
        return _enum(one, language, models)
    return {"type": "string", "x-folder": one.folder} | _names(one.folder, models, one.default)


def _names(folder: str, models: Models | None, *more: Any) -> dict[str, Any]:
    known = set(models(folder)) if models else set[str]()
    return {"enum": sorted(known | {one for one in more if one})} if known else {}


def _loras(one: Parameter, _language: str, models: Models | None) -> dict[str, Any]:
    least, most = kinds.bounds(one)
    bounds = one.strength
    name = {"type": "string"} | _names(one.folder, models, *(each["name"] for each in one.default or ()))
    strength = {
        "type": "number",
        "minimum": bounds.minimum,
        "maximum": bounds.maximum,
        "default": bounds.default,
    }
    entry = {
        "type": "object",
        "properties": {"name": name, "strength": strength},
        "required": ["name"],
        "additionalProperties": False,
    }
    return {"type": "array", "items": {"anyOf": [entry, name]}, "minItems": least, "maxItems": most}


def _aspect(one: Parameter, language: str, models: Models | None) -> dict[str, Any]:
    tiles = _enum(one, language, models)
    if one.minimum is None:
        return tiles
    side = _full(**{"type": "integer", "minimum": one.minimum, "maximum": one.maximum, "x-step": one.step})
    size = {"type": "object", "properties": {"width": side, "height": side}, "required": ["width", "height"]}
    return {"anyOf": [tiles, {"type": "string", "pattern": SIZE}, size]}


def _condition(one: Parameter) -> dict[str, Any]:
    """What is required only while another parameter has one of some values."""
    condition = one.depends_on
    if condition is None:
        return {}
    other = condition.parameter
    when = {"properties": {other: {"enum": list(condition.values)}}, "required": [other]}
    return {"if": when, "then": {"required": [one.name]}}


def _sample(one: Parameter) -> Any:
    """A value of a required parameter, for who reads an example."""
    first = one.choices[0].value if one.choices else ""
    samples: Mapping[Kind, Any] = {
        Kind.IMAGE: PICTURE,
        Kind.MASK: PICTURE,
        Kind.IMAGES: [PICTURE],
        Kind.STRING: "a lighthouse at dusk",
        Kind.TEXT: "a lighthouse at dusk",
        Kind.BOOL: True,
        Kind.ENUM: first,
        Kind.ASPECT_RATIO: first,
        Kind.LORAS: ["style.safetensors"],
        Kind.MODEL: first or "model.safetensors",
    }
    return samples.get(one.kind, one.minimum or 0)


def _full(**table: Any) -> dict[str, Any]:
    return {name: value for name, value in table.items() if value is not None}


_TYPES: Final[Mapping[Kind, Callable[[Parameter, str, Models | None], dict[str, Any]]]] = {
    Kind.INT: _number,
    Kind.FLOAT: _number,
    Kind.SEED: _number,
    Kind.STRING: _text,
    Kind.TEXT: _text,
    Kind.BOOL: _bool,
    Kind.ENUM: _enum,
    Kind.IMAGE: _file,
    Kind.MASK: _file,
    Kind.IMAGES: _files,
    Kind.MODEL: _model,
    Kind.LORAS: _loras,
    Kind.ASPECT_RATIO: _aspect,
}
