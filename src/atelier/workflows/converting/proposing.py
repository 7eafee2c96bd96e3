"""A draft manifest is proposed for a graph: what a person would want to change, bounded by the nodes' own schemas.

Nothing in it is final: an author renames, bounds and hides. What it says is right for its graph, though: every
proposal can be published as it is.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from atelier.comfy.catalog import InputSpec
from atelier.comfy.links import Graph
from atelier.fleet.loaders import folder_of
from atelier.workflows.converting import words
from atelier.workflows.converting.classes import Classes
from atelier.workflows.converting.tracing import NEGATIVE, POSITIVE, Place, Traces
from atelier.workflows.model import (
    Binding,
    Chain,
    Choice,
    Kind,
    Manifest,
    OutputRule,
    Pack,
    Parameter,
    Words,
)
from atelier.workflows.places import title_of

MOST_PARAMETERS = 60
LONGEST_PROMPT = 4_000
MOST_IN_A_BATCH = 8
LARGEST_SIDE = 4_096
RATIOS = ((1, 1), (4, 3), (3, 4), (3, 2), (2, 3), (16, 9), (9, 16))
SENSIBLE: Mapping[str, tuple[float, float]] = {
    "steps": (1, 100),
    "cfg": (0, 30),
    "guidance": (0, 30),
    "denoise": (0, 1),
    "fps": (1, 60),
    "frames": (1, 1_000),
}
"""Schemas allow ten thousand steps; nobody wants them."""

MAIN_MODELS = frozenset({"checkpoints", "diffusion_models", "unet_gguf"})
OWN_MODULES = ("nodes", "comfy_extras", "comfy_api_nodes")
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
_NOT_IN_IDS = re.compile(r"[^a-z0-9]+")


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


def propose(graph: Graph, object_info: Mapping[str, Any], *, name: str = "", workflow_id: str = "") -> Manifest:
    """A manifest for this (parsed) graph; `object_info` are the classes of the fleet."""
    classes = Classes(object_info)
    traces = Traces(graph, classes)
    parameters = _fitting(_parameters(traces))
    manifest = Manifest(
        id=workflow_id or id_of(name) or "workflow",
        name=Words(name[:100] or "Imported workflow"),
        description=Words(),
        category=_category(traces, parameters),
        family=_family(graph),
        version="1.0.0",
        parameters=parameters,
        outputs=tuple(_outputs(traces)),
        packs=tuple(_packs(graph, object_info)),
    )
    batch = manifest.parameter("batch_size")
    most = int(batch.maximum) if batch and batch.maximum else 1
    kind = "video" if manifest.category in {"video", "animation"} else "image"
    return replace(manifest, timeout=kind, max_batch_size=most)


def id_of(name: str) -> str:
    """The id that a name makes: `Wan 2.2 (text)` is wan-2-2-text."""
    return _NOT_IN_IDS.sub("-", name.casefold()).strip("-")[:64].strip("-")


def _parameters(traces: Traces) -> Iterator[Parameter]:
    samplers = traces.samplers()
    yield from _prompts(traces, samplers)
    yield from _pictures(traces)
    yield from _sizes(traces)
    yield from _seeds(traces)
    yield from _models(traces)
    yield from _knobs(traces)


def _fitting(found: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """Each input belongs to one parameter, each name to one."""
    taken: set[Binding] = set()
    names: dict[str, Parameter] = {}
    for one in found:
        bind = tuple(binding for binding in one.bind if replace(binding, part="") not in taken)
        if len(names) >= MOST_PARAMETERS or not (bind or one.chain):
            continue
        taken |= {replace(binding, part="") for binding in bind}
        names[unique := _unique(one.name, names)] = replace(one, name=unique, bind=bind)
    return tuple(names.values())


def _unique(name: str, taken: Mapping[str, Any]) -> str:
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name[:36]}_{number}"
    return unique


def _named(name: str, kind: Kind, bind: Sequence[Binding], **more: Any) -> Parameter:
    return Parameter(name, kind, label=words.label(name), help=words.help_of(name), bind=tuple(bind), **more)


def _at(*places: Place) -> list[Binding]:
    return [Binding(place.node, place.input) for place in places]


# Texts


def _prompts(traces: Traces, samplers: Sequence[str]) -> Iterator[Parameter]:
    """The texts that reach a sampler: those to show first, then those not to show; equal ones are one."""
    positive = [place for one in samplers for place in traces.texts(one, POSITIVE)]
    negative = [place for one in samplers for place in traces.texts(one, NEGATIVE) if place not in positive]
    for name, places in (("prompt", positive), ("negative_prompt", negative)):
        for text, bind in _by_value(traces, places):
            required = name == "prompt" and bind[0] == places[0]
            default = None if required else text
            most = max(LONGEST_PROMPT, len(text))
            yield _named(name, Kind.TEXT, _at(*bind), default=default, required=required, maximum=most)
    if not positive:
        yield from _other_texts(traces)


def _by_value(traces: Traces, places: Iterable[Place]) -> list[tuple[str, list[Place]]]:
    found: dict[str, list[Place]] = {}
    for place in dict.fromkeys(places):
        found.setdefault(str(traces.value(place.node, place.input)), []).append(place)
    return list(found.items())


def _other_texts(traces: Traces) -> Iterator[Parameter]:
    """Nodes of services take a prompt themselves."""
    for node_id, node in traces.graph.items():
        for spec in _specs(traces, node_id):
            value = node["inputs"].get(spec.name)
            if spec.name in {"prompt", "text"} and spec.type == "STRING" and isinstance(value, str):
                most = max(LONGEST_PROMPT, len(value))
                yield _named("prompt", Kind.TEXT, _at(Place(node_id, spec.name)), default=value, maximum=most)
            elif spec.name == "negative_prompt" and isinstance(value, str):
                most = max(LONGEST_PROMPT, len(value))
                yield _named(
                    "negative_prompt", Kind.TEXT, _at(Place(node_id, spec.name)), default=value, maximum=most
                )


# Pictures


def _pictures(traces: Traces) -> Iterator[Parameter]:
    """Each loader of a file is an image, or a mask where its image is not used."""
    for node_id, node in traces.graph.items():
        spec = next((one for one in _specs(traces, node_id) if one.upload == "image"), None)
        if spec is None or not isinstance(node["inputs"].get(spec.name), str):
            continue
        is_mask = _is_mask(traces, node_id)
        name = _called(node, "mask" if is_mask else "input_image")
        yield _named(name, Kind.MASK if is_mask else Kind.IMAGE, [Binding(node_id, spec.name)], required=True)


def _is_mask(traces: Traces, node_id: str) -> bool:
    node_class = traces.classes.get(traces.graph[node_id]["class_type"])
    outputs = node_class.outputs if node_class else ()
    used = {outputs[number] for number in traces.outputs_used(node_id) if number < len(outputs)}
    return used == {"MASK"}


def _called(node: Mapping[str, Any], usual: str) -> str:
    """What its author called the node, where that is a name: `Style picture` is style_picture."""
    title = _NOT_IN_NAMES.sub("_", title_of(node).casefold()).strip("_")
    given = re.fullmatch(r"[a-z][a-z0-9_]{2,39}", title) and not title.startswith(("load", "image"))
    return title if given else usual


# Sizes


def _sizes(traces: Traces) -> Iterator[Parameter]:
    """Width and height of what is made from nothing, how many, how many frames."""
    for node_id in traces.graph:
        if not _makes_canvas(traces, node_id):
            continue
        width, height = traces.of_input(node_id, "width"), traces.of_input(node_id, "height")
        if width and height and width != height:
            yield from _size(traces, node_id, width, height)
        yield from _count(traces, node_id, ("batch_size",), "batch_size", MOST_IN_A_BATCH)
        yield from _count(
            traces, node_id, ("length", "num_frames", "frames"), "frames", int(SENSIBLE["frames"][1])
        )


def _makes_canvas(traces: Traces, node_id: str) -> bool:
    inputs = traces.graph[node_id]["inputs"]
    node_class = traces.classes.get(traces.graph[node_id]["class_type"])
    return {"width", "height"} <= inputs.keys() and node_class is not None and "LATENT" in node_class.outputs


def _size(traces: Traces, node_id: str, width: Place, height: Place) -> Iterator[Parameter]:
    sides = traces.value(width.node, width.input), traces.value(height.node, height.input)
    if not all(isinstance(side, int) and not isinstance(side, bool) and 16 <= side <= 16_384 for side in sides):
        return
    spec = _spec(traces, node_id, "width")
    step = max(16, int((spec.options.get("step") if spec else None) or 16))
    tiles = _tiles(sides[0], sides[1], max(step, 64) if _divisible(sides, 64) else step)
    bind = [Binding(width.node, width.input, "width"), Binding(height.node, height.input, "height")]
    least, most = min(256, *sides), max(LARGEST_SIDE // 2, *sides)
    yield _named(
        "aspect_ratio",
        Kind.ASPECT_RATIO,
        bind,
        default=tiles[0].value,
        choices=tiles,
        minimum=least,
        maximum=most,
        step=step if _divisible(sides, step) else 1,
    )


def _divisible(sides: Iterable[int], step: int) -> bool:
    return all(side % step == 0 for side in sides)


def _tiles(width: int, height: int, step: int) -> tuple[Choice, ...]:
    """The size that the graph has first, then others of about as many pixels."""
    own = Choice(_ratio(width, height), width=width, height=height)
    tiles = {own.value: own}
    for across, down in RATIOS:
        unit = (width * height / (across * down)) ** 0.5
        sides = [max(step, round(unit * part / step) * step) for part in (across, down)]
        tiles.setdefault(f"{across}:{down}", Choice(f"{across}:{down}", width=sides[0], height=sides[1]))
    return tuple(tiles.values())


def _ratio(width: int, height: int) -> str:
    exact = next((f"{a}:{b}" for a, b in RATIOS if width * b == height * a), None)
    return exact or f"{width}x{height}"


def _count(traces: Traces, node_id: str, inputs: Iterable[str], name: str, most: int) -> Iterator[Parameter]:
    for given in inputs:
        place = traces.of_input(node_id, given)
        value = traces.value(place.node, place.input) if place else None
        if place and isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            spec = _spec(traces, node_id, given)
            step = (spec.options.get("step") if spec else None) or 1
            bounds = {"minimum": 1, "maximum": max(most, value), "step": step if (value - 1) % step == 0 else 1}
            yield _named(name, Kind.INT, _at(place), default=value, **bounds)
            return


# Seeds, models, samplers


def _seeds(traces: Traces) -> Iterator[Parameter]:
    """One seed for all that draw by one."""
    places = [
        place
        for node_id in traces.graph
        for spec in _specs(traces, node_id)
        if spec.name in {"seed", "noise_seed"} and spec.type == "INT"
        if (place := traces.of_input(node_id, spec.name)) is not None
    ]
    if places:
        yield _named("seed", Kind.SEED, _at(*dict.fromkeys(places)), default=-1)


def _models(traces: Traces) -> Iterator[Parameter]:
    for node_id, node in traces.graph.items():
        for name, value in node["inputs"].items():
            folder = folder_of(node["class_type"], name)
            if folder is None or not isinstance(value, str) or not value:
                continue
            called = "model" if folder in MAIN_MODELS else _NOT_IN_NAMES.sub("_", words.MODELS.get(folder, folder))
            bind = [Binding(node_id, name)]
            yield _named(called, Kind.MODEL, bind, default=value, folder=folder, group="Models", advanced=True)
            if folder == "loras":
                yield from _strengths(traces, node_id)
        yield from _chain(traces, node_id)


def _strengths(traces: Traces, node_id: str) -> Iterator[Parameter]:
    names = [one for one in ("strength_model", "strength_clip") if _is_number(traces.value(node_id, one))]
    values = [float(traces.value(node_id, one)) for one in names]
    if names:
        bounds = {"minimum": min(0.0, *values), "maximum": max(2.0, *values), "step": 0.05}
        bind = [Binding(node_id, one) for one in names]
        yield _named("lora_strength", Kind.FLOAT, bind, default=values[0], group="Models", **bounds)


def _chain(traces: Traces, node_id: str) -> Iterator[Parameter]:
    """LoRAs may be added behind a checkpoint whose both halves are used."""
    if traces.graph[node_id]["class_type"] == "CheckpointLoaderSimple" and {0, 1} <= traces.outputs_used(node_id):
        chain = Chain(node_id)
        bounds: dict[str, Any] = {"default": [], "folder": "loras", "maximum": 4, "chain": chain}
        yield _named("loras", Kind.LORAS, [], group="Models", advanced=True, **bounds)


def _knobs(traces: Traces) -> Iterator[Parameter]:
    for node_id in traces.graph:
        for spec in _specs(traces, node_id):
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
        return _named(knob.name, Kind.ENUM, _at(place), choices=tuple(map(Choice, choices)), **shared)
    if not _is_number(value) or (knob.kind is Kind.INT and not isinstance(value, int)):
        return None
    return _named(knob.name, knob.kind, _at(place), **shared, **_bounds(spec, knob.name, value))


def _rate(traces: Traces, node_id: str) -> Iterator[Parameter]:
    for name in ("fps", "frame_rate"):
        spec = _spec(traces, node_id, name)
        place = traces.of_input(node_id, name) if spec else None
        value = traces.value(place.node, place.input) if place else None
        if spec and place and _is_number(value):
            kind = Kind.INT if spec.type == "INT" else Kind.FLOAT
            bounds = _bounds(spec, "fps", value)
            yield _named("fps", kind, _at(place), default=value, group="Video", advanced=True, **bounds)


def _bounds(spec: InputSpec, name: str, value: float) -> dict[str, Any]:
    """The schema's, within what is sensible; what the graph has is always allowed."""
    least, most = SENSIBLE[name]
    least = max(least, _number(spec.options.get("min"), least))
    most = min(most, _number(spec.options.get("max"), most))
    bounds: dict[str, Any] = {"minimum": min(least, value), "maximum": max(most, value)}
    step = spec.options.get("step")
    return {**bounds, "step": step} if spec.type == "INT" and _is_number(step) and step > 1 else bounds


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any, default: float) -> float:
    return value if _is_number(value) else default


# The whole


def _outputs(traces: Traces) -> list[OutputRule]:
    """What is saved; where nothing is, what is shown."""
    ends = [
        one for one, node in traces.graph.items() if (c := traces.classes.get(node["class_type"])) and c.is_output
    ]
    saved = [one for one in ends if not traces.graph[one]["class_type"].startswith("Preview")]
    return [OutputRule(one) for one in (saved or ends)[:50]]


def _packs(graph: Graph, object_info: Mapping[str, Any]) -> list[Pack]:
    """Packs by the folder that a server has them in; their address where the file has it."""
    found: dict[str, Pack] = {}
    for node in graph.values():
        name = _pack_of(object_info.get(node["class_type"]))
        if name:
            known = found.get(name, Pack(name))
            url = known.url or _address((node.get("_meta") or {}).get("aux_id"))
            found[name] = Pack(name, url, tuple(dict.fromkeys((*known.nodes, node["class_type"]))))
    return list(found.values())


def _pack_of(entry: Any) -> str:
    module = entry.get("python_module") if isinstance(entry, Mapping) else None
    if not isinstance(module, str) or module.split(".")[0] in OWN_MODULES:
        return ""
    return module.removeprefix("custom_nodes.")[:100]


def _address(aux_id: Any) -> str:
    known = isinstance(aux_id, str) and re.fullmatch(r"[\w.-]{1,60}/[\w.-]{1,90}", aux_id)
    return f"https://github.com/{aux_id}" if known else ""


def _category(traces: Traces, parameters: Sequence[Parameter]) -> str:
    kinds = {one.kind for one in parameters}
    classes = {node["class_type"] for node in traces.graph.values()}
    films = {"SaveVideo", "SaveWEBM", "VHS_VideoCombine", "SaveAnimatedWEBP", "CreateVideo"} & classes
    if films:
        return "animation" if Kind.IMAGE in kinds else "video"
    if Kind.MASK in kinds:
        return "inpaint"
    if not traces.samplers():
        return "upscale" if "UpscaleModelLoader" in classes and Kind.IMAGE in kinds else "other"
    return "image-to-image" if Kind.IMAGE in kinds else "text-to-image"


def _family(graph: Graph) -> str:
    """Guessed from the names of models."""
    named = " ".join(
        value.casefold()
        for node in graph.values()
        for name, value in node["inputs"].items()
        if isinstance(value, str) and folder_of(node["class_type"], name) in MAIN_MODELS
    )
    return next((family for part, family in words.FAMILIES if part in named), "")
