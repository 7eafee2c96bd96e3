"""Values are put where the manifest says; everything else of the graph stays as its author left it.

A parameter without a value leaves the graph's own. A file that is not given takes its loader out of the graph, and
whatever was fed by it alone is not fed.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, cast

from atelier.comfy.assets import ASSET_TYPE
from atelier.comfy.links import Graph
from atelier.workflows import kinds
from atelier.workflows.model import Binding, Kind, Manifest, Parameter
from atelier.workflows.places import Nodes, missing, places, result_nodes, taken
from atelier.workflows.splicing import Splice, numbered
from atelier.workflows.values import Values
from atelier.workflows.written import InvalidManifest

__all__ = ["bound", "places", "result_nodes"]

NO_LORA = "None"
"""What stacks of LoRAs offer for an empty place (rgthree, Efficiency, Comfyroll, Easy-Use)."""

IMAGE_LOADER = "LoadImage"
IMAGE_OUTPUT = 0
BATCH_NODE = "ImageBatch"
LORA_LOADER = "LoraLoader"
LORA_LOADER_MODEL_ONLY = "LoraLoaderModelOnly"


def bound(manifest: Manifest, graph: Graph, values: Values) -> Graph:
    """A copy of the graph with these values. Raises InvalidManifest where the manifest names nodes it has not."""
    faults = missing(manifest, graph)
    if faults:
        raise InvalidManifest(faults)
    work = Splice(
        {node_id: node | {"inputs": dict(node["inputs"])} for node_id, node in graph.items()}, Nodes(graph)
    )
    for parameter in manifest.parameters:
        _place(work, parameter, values.params.get(parameter.name))
    return work.graph


def _place(work: Splice, parameter: Parameter, value: Any) -> None:
    match parameter.kind:
        case Kind.LORAS:
            _place_loras(work, parameter, value or [])
        case Kind.IMAGES:
            _place_images(work, parameter, value or [])
        case Kind.IMAGE | Kind.MASK:
            _place_file(work, parameter, value)
        case _ if value is not None:
            for binding in parameter.bind:
                work.set(binding, _part(parameter, value, binding.part))
        case _:
            return


def _part(parameter: Parameter, value: Any, part: str) -> Any:
    if parameter.kind is not Kind.ASPECT_RATIO or not part:
        return value
    width, height = kinds.pixels(parameter, value)
    return width if part == "width" else height


def _place_file(work: Splice, parameter: Parameter, asset_id: str | None) -> None:
    for binding in parameter.bind:
        if asset_id is None:
            work.take_out(work.node(binding))
        else:
            work.set(binding, asset(asset_id))


def _place_images(work: Splice, parameter: Parameter, asset_ids: list[str]) -> None:
    """A loader for each; one after the other into numbered inputs, or all as one batch."""
    loaders = [work.add(IMAGE_LOADER, image=asset(asset_id)) for asset_id in asset_ids]
    links = [[loader, IMAGE_OUTPUT] for loader in loaders]
    for binding in parameter.bind:
        _place_numbered(work, parameter, binding, cast("list[Any]", links))
    if parameter.batch:
        former = work.get(parameter.batch)
        if links:
            work.set(parameter.batch, functools.reduce(functools.partial(_batched, work), links))
        else:
            work.unset(parameter.batch)
        work.forget_loader(former)


def _batched(work: Splice, images: list[Any], image: list[Any]) -> list[Any]:
    return [work.add(BATCH_NODE, image1=images, image2=image), IMAGE_OUTPUT]


def _place_loras(work: Splice, parameter: Parameter, loras: list[Mapping[str, Any]]) -> None:
    for binding in parameter.bind:
        _place_numbered(work, parameter, binding, [_LORA_PARTS[binding.part](one) for one in loras])
    if parameter.chain is None:
        return
    node = work.find(parameter.chain.node)
    model, clip = parameter.chain.model, parameter.chain.clip
    if not loras:
        return
    takers = [one for one in taken(work.graph, node) if one[2] in {model, clip}]
    ends = {model: [node, model]} | ({clip: [node, clip]} if clip is not None else {})
    for one in loras:
        ends = _chained(work, one, ends, model, clip)
    for target, name, output in takers:
        work.graph[target]["inputs"][name] = list(ends[output])


def _chained(
    work: Splice, lora: Mapping[str, Any], ends: dict[int, list[Any]], model: int, clip: int | None
) -> dict[int, list[Any]]:
    """One more loader behind these ends."""
    name, strength = lora["name"], lora["strength"]
    if clip is None:
        made = work.add(LORA_LOADER_MODEL_ONLY, model=ends[model], lora_name=name, strength_model=strength)
        return {model: [made, 0]}
    made = work.add(
        LORA_LOADER,
        model=ends[model],
        clip=ends[clip],
        lora_name=name,
        strength_model=strength,
        strength_clip=strength,
    )
    return {model: [made, 0], clip: [made, 1]}


def _place_numbered(work: Splice, parameter: Parameter, binding: Binding, entries: list[Any]) -> None:
    """Each entry in its own input; the others, as many as there may be, are emptied."""
    most = int(kinds.bounds(parameter)[1] or 0)
    for place in range(1, max(most, len(entries)) + 1):
        one = Binding(binding.node, numbered(binding.input, place))
        former = work.get(one)
        if place <= len(entries):
            work.set(one, entries[place - 1])
        elif binding.part == "name":
            work.set(one, NO_LORA)
        elif binding.part == "":
            work.unset(one)
        work.forget_loader(former)


def asset(asset_id: str) -> dict[str, Any]:
    """What stands for a file in a graph until its server has it."""
    return {"__type": ASSET_TYPE, "info": {"id": asset_id}}


def _power(lora: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of rgthree's Power Lora Loader."""
    return {"on": True, "lora": lora["name"], "strength": lora["strength"]}


_LORA_PARTS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "": _power,
    "name": lambda lora: lora["name"],
    "strength": lambda lora: lora["strength"],
}
