"""Seeds, models and what samplers can be told, as parameters."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from atelier.comfy.catalog import InputSpec
from atelier.fleet.loaders import folder_of
from atelier.workflows.model import Binding, Chain, Choice, Kind, Parameter
from atelier.workflows.proposing import words
from atelier.workflows.proposing.parts import NOT_IN_NAMES, allowed, at, bounds, is_number, parameter
from atelier.workflows.proposing.tracing import Place, Traces

MAIN_MODELS = frozenset({"checkpoints", "diffusion_models", "unet_gguf"})


@dataclass(frozen=True, slots=True)
class Knob:
    """An input that many samplers have: its name there, the parameter's, where it stands in the form."""

    input: str
    name: str
    kind: Kind
    group: str = "Sampling"


KNOBS = (
    Knob("steps", "steps", Kind.INT),
    Knob("cfg", "cfg", Kind.FLOAT),
    Knob("guidance", "guidance", Kind.FLOAT),
    Knob("sampler_name", "sampler", Kind.ENUM),
    Knob("scheduler", "scheduler", Kind.ENUM),
    Knob("denoise", "denoise", Kind.FLOAT),
)


def seeds(traces: Traces) -> Iterator[Parameter]:
    """One seed for all that draw by one."""
    places = [
        place
        for node_id in traces.graph
        for spec in traces.specs(node_id)
        if spec.name in {"seed", "noise_seed"} and spec.type == "INT"
        if (place := traces.of_input(node_id, spec.name)) is not None
    ]
    if places:
        yield parameter("seed", Kind.SEED, at(*dict.fromkeys(places)), default=-1)


def models(traces: Traces) -> Iterator[Parameter]:
    for node_id, node in traces.graph.items():
        for name, value in node["inputs"].items():
            folder = folder_of(node["class_type"], name)
            if folder is None or not isinstance(value, str) or not value:
                continue
            called = "model" if folder in MAIN_MODELS else NOT_IN_NAMES.sub("_", words.MODELS.get(folder, folder))
            bind = [Binding(node_id, name)]
            yield parameter(called, Kind.MODEL, bind, default=value, folder=folder, group="Models", advanced=True)
            if folder == "loras":
                yield from _strengths(traces, node_id)
        yield from _chain(traces, node_id)


def _strengths(traces: Traces, node_id: str) -> Iterator[Parameter]:
    names = [one for one in ("strength_model", "strength_clip") if is_number(traces.value(node_id, one))]
    values = [round(float(traces.value(node_id, one)), 4) for one in names]
    if names:
        bounds = {"minimum": min(0.0, *values), "maximum": max(2.0, *values), **_step(values)}
        bind = [Binding(node_id, one) for one in names]
        yield parameter("lora_strength", Kind.FLOAT, bind, default=values[0], group="Models", **bounds)


def _step(values: list[float]) -> dict[str, float]:
    """Twentieths, unless the graph has something finer."""
    return {"step": 0.05} if all(abs(one * 20 - round(one * 20)) < 1e-12 for one in values) else {}


def _chain(traces: Traces, node_id: str) -> Iterator[Parameter]:
    """LoRAs may be added behind a checkpoint whose both halves are used."""
    if traces.graph[node_id]["class_type"] == "CheckpointLoaderSimple" and {0, 1} <= traces.outputs_used(node_id):
        chain = Chain(node_id)
        bounds: dict[str, Any] = {"default": [], "folder": "loras", "maximum": 4, "chain": chain}
        yield parameter("loras", Kind.LORAS, [], group="Models", advanced=True, **bounds)


def knobs(traces: Traces) -> Iterator[Parameter]:
    for node_id in traces.graph:
        for spec in traces.specs(node_id):
            knob = next((one for one in KNOBS if one.input == spec.name), None)
            place = traces.of_input(node_id, spec.name) if knob else None
            made = _knob(traces, knob, spec, place) if knob and place else None
            if made:
                yield made
        yield from _rate(traces, node_id)


def _knob(traces: Traces, knob: Knob, spec: InputSpec, place: Place) -> Parameter | None:
    value = traces.value(place.node, place.input)
    shared: dict[str, Any] = {"default": value, "group": knob.group, "advanced": True}
    if knob.kind is Kind.ENUM:
        choices = [one for one in spec.choices or [] if isinstance(one, str) and one]
        if not isinstance(value, str) or value not in choices:
            return None
        return parameter(knob.name, Kind.ENUM, at(place), choices=tuple(map(Choice, choices)), **shared)
    kind = kind_at(traces, place, spec)
    if not is_number(value) or (kind is Kind.INT and not isinstance(value, int)) or not allowed(spec, value):
        return None
    return parameter(knob.name, kind, at(place), **shared, **bounds(spec, knob.name, value))


def kind_at(traces: Traces, place: Place, spec: InputSpec) -> Kind:
    """Whole numbers where the value stands in a place for them: that may be a primitive before the sampler."""
    own = traces.spec(place.node, place.input) or spec
    return Kind.INT if own.type == "INT" else Kind.FLOAT


def _rate(traces: Traces, node_id: str) -> Iterator[Parameter]:
    for name in ("fps", "frame_rate"):
        spec = traces.spec(node_id, name)
        place = traces.of_input(node_id, name) if spec else None
        value = traces.value(place.node, place.input) if place else None
        if spec and place and is_number(value) and value > 0:
            kind = kind_at(traces, place, spec)
            within = bounds(spec, "fps", value)
            yield parameter("fps", kind, at(place), default=value, group="Video", advanced=True, **within)
