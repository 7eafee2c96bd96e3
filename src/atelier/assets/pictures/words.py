"""What was said of a picture, in the words that the field's programs look for; one line of them says it all.

The line is that of the web UI of AUTOMATIC1111, which it writes into `parameters` of a PNG and UserComment of
everything else, and which most galleries and editors read: prompt, "Negative prompt: …", then "Name: value" pairs.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from atelier.assets.pictures.model import Delivery, Metadata

SOFTWARE = "Atelier"

_PAIRS = {
    "steps": "Steps",
    "sampler": "Sampler",
    "sampler_name": "Sampler",
    "scheduler": "Schedule type",
    "cfg": "CFG scale",
    "guidance": "Distilled CFG Scale",
    "seed": "Seed",
    "denoise": "Denoising strength",
    "model": "Model",
    "checkpoint": "Model",
}
"""Our names of parameters to theirs; every other parameter has its own name."""

_TEXTS = frozenset({"prompt", "negative_prompt"})
_LONGEST = 2000
"""Characters of one value in the line."""


def allowed(delivery: Delivery) -> Mapping[str, Any]:
    """What may be said: all of it, workflow and seed alone, or nothing."""
    match delivery.metadata:
        case Metadata.KEEP:
            return delivery.said
        case Metadata.ANONYMISE:
            return {
                name: delivery.said[name] for name in ("workflow", "seed") if delivery.said.get(name) is not None
            }
        case Metadata.STRIP:
            return {}


def prompt(said: Mapping[str, Any]) -> str:
    """What was asked for, in its asker's words; empty when nothing was."""
    return _text(_params(said).get("prompt"))


def parameters(said: Mapping[str, Any]) -> str:
    """The line; empty when nothing is said."""
    negative = _text(_params(said).get("negative_prompt"))
    lines = (prompt(said), f"Negative prompt: {negative}" if negative else "", ", ".join(_pairs(said)))
    return "\n".join(line for line in lines if line)


def spelled(value: object) -> str:
    """A value as text: texts as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _pairs(said: Mapping[str, Any]) -> Iterator[str]:
    told = {**_params(said), **({"seed": said["seed"]} if said.get("seed") is not None else {})}
    width, height = told.pop("width", None), told.pop("height", None)
    for name, value in told.items():
        if name not in _TEXTS and value is not None and not _names_a_file(value):
            yield f"{_PAIRS.get(name, name)}: {_quoted(spelled(value))}"
    if width and height:
        yield f"Size: {width}x{height}"
    for name in ("workflow", "version"):
        if said.get(name) is not None:
            yield f"{name.capitalize()}: {_quoted(spelled(said[name]))}"


def _names_a_file(value: object) -> bool:
    return isinstance(value, dict) and "__type" in value


def _quoted(value: str) -> str:
    """As the web UI writes what would be taken for the end of a pair."""
    short = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}…"
    return json.dumps(short, ensure_ascii=False) if any(char in short for char in ',:"\n') else short


def _params(said: Mapping[str, Any]) -> Mapping[str, Any]:
    params = said.get("params")
    return cast("Mapping[str, Any]", params) if isinstance(params, dict) else {}


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""
