"""A draft manifest is proposed for a graph: what a person would want to change, bounded by the nodes' own schemas.

Nothing in it is final: an author renames, bounds and hides. What it says is right for its graph, though: every
proposal can be published as it is.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from atelier.comfy.catalog import as_object
from atelier.comfy.links import Graph
from atelier.fleet.loaders import folder_of
from atelier.workflows.converting.classes import Classes
from atelier.workflows.model import (
    Binding,
    Kind,
    Manifest,
    OutputRule,
    Pack,
    Parameter,
    Words,
)
from atelier.workflows.proposing import canvases, given, knobs, words
from atelier.workflows.proposing.tracing import Traces

MOST_PARAMETERS = 60
OWN_MODULES = ("nodes", "comfy_extras", "comfy_api_nodes")
_NOT_IN_IDS = re.compile(r"[^a-z0-9]+")


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
    yield from given.prompts(traces, samplers)
    yield from given.pictures(traces)
    yield from canvases.sizes(traces)
    yield from knobs.seeds(traces)
    yield from knobs.models(traces)
    yield from knobs.knobs(traces)


def _fitting(found: Iterable[Parameter]) -> tuple[Parameter, ...]:
    """Each input belongs to one parameter, each name to one."""
    taken: set[Binding] = set()
    names: dict[str, Parameter] = {}
    for one in found:
        bind = tuple(binding for binding in one.bind if replace(binding, part="") not in taken)
        if len(names) >= MOST_PARAMETERS or not (bind or one.chain):
            continue
        taken |= {replace(binding, part="") for binding in bind}
        unique = _unique(one.name, names)
        names[unique] = replace(one, name=unique, bind=bind)
    return tuple(names.values())


def _unique(name: str, taken: Mapping[str, Any]) -> str:
    number, unique = 1, name
    while unique in taken:
        number += 1
        unique = f"{name[:36]}_{number}"
    return unique


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
            url = known.url or _address((as_object(node.get("_meta")) or {}).get("aux_id"))
            found[name] = Pack(name, url, tuple(dict.fromkeys((*known.nodes, node["class_type"]))))
    return list(found.values())


def _pack_of(entry: Any) -> str:
    module = (as_object(entry) or {}).get("python_module")
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
        if isinstance(value, str) and folder_of(node["class_type"], name) in knobs.MAIN_MODELS
    )
    return next((family for part, family in words.FAMILIES if part in named), "")
