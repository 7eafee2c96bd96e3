"""What proposed parameters have in common: their words, their places, bounds that a person would want."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from atelier.comfy.catalog import InputSpec
from atelier.workflows.model import Binding, Kind, Parameter
from atelier.workflows.proposing import words
from atelier.workflows.proposing.tracing import Place

SENSIBLE: Mapping[str, tuple[float, float]] = {
    "steps": (1, 100),
    "cfg": (0, 30),
    "guidance": (0, 30),
    "denoise": (0, 1),
    "fps": (1, 60),
    "frames": (1, 1_000),
}
"""Schemas allow ten thousand steps; nobody wants them."""

NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


def parameter(name: str, kind: Kind, bind: Sequence[Binding], **more: Any) -> Parameter:
    return Parameter(name, kind, label=words.label(name), help=words.help_of(name), bind=tuple(bind), **more)


def at(*places: Place) -> list[Binding]:
    return [Binding(place.node, place.input) for place in places]


def bounds(spec: InputSpec, name: str, value: float) -> dict[str, Any]:
    """The schema's, within what is sensible; what the graph has is always allowed."""
    least, most = SENSIBLE[name]
    least = max(least, number(spec.options.get("min"), least))
    most = min(most, number(spec.options.get("max"), most))
    bounds: dict[str, Any] = {"minimum": min(least, value), "maximum": max(most, value)}
    step = spec.options.get("step")
    return {**bounds, "step": step} if spec.type == "INT" and is_number(step) and step > 1 else bounds


def is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: Any, default: float) -> float:
    return value if is_number(value) else default


def allowed(spec: InputSpec, value: float) -> bool:
    """Whether the schema lets the value be: files may hold what another version of the node took."""
    return number(spec.options.get("min"), value) <= value <= number(spec.options.get("max"), value)
