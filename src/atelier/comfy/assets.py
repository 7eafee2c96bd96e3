"""A core/ASSET object stands for a file; it is replaced by the string that a server's node expects."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from atelier.comfy.links import Graph
from atelier.kit.ids import parse_uuid

ASSET_TYPE = "core/ASSET"
LONGEST_PATH = 200


@dataclass(frozen=True, slots=True)
class AssetReference:
    """`{"__type": "core/ASSET", "info": {"id": uuid}}` (Comfy API v2, 10). `path` is for people: `3.image`."""

    id: str
    path: str


@dataclass(frozen=True, slots=True)
class MalformedAsset:
    """An object that says it is an asset and names none."""

    path: str


def assets_in(graph: Graph) -> list[AssetReference | MalformedAsset]:
    """Every reference, wherever a value may stand in an input, in the graph's order."""
    return [_reference(value, path) for value, path in _asset_objects(graph)]


def place_assets(graph: Graph, places: Mapping[str, str]) -> Graph:
    """A copy with each reference replaced by `places[id]`; one whose id is not there stays as it is."""
    placed: Graph = {}
    for node_id, node in graph.items():
        placed[node_id] = {
            **node,
            "inputs": {name: _placed(value, places) for name, value in node["inputs"].items()},
        }
    return placed


def _placed(value: object, places: Mapping[str, str]) -> Any:
    """Recursion is bounded: parse() lets no more than a few levels through."""
    if _is_asset(value):
        reference = _reference(value, "")
        return places.get(reference.id, value) if isinstance(reference, AssetReference) else value
    if isinstance(value, dict):
        return {key: _placed(member, places) for key, member in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_placed(member, places) for member in cast("list[object]", value)]
    return value


def _asset_objects(graph: Graph) -> Iterator[tuple[object, str]]:
    for node_id, node in graph.items():
        for name, value in node["inputs"].items():
            yield from _walk(value, _below(_below("", node_id), name))


def _below(path: str, name: str) -> str:
    """A path is made for every value of a graph, and a name may have a million characters."""
    name = name[:LONGEST_PATH]
    return f"{path}.{name}"[:LONGEST_PATH] if path else name


def _walk(value: object, path: str) -> Iterator[tuple[object, str]]:
    if _is_asset(value):
        yield value, path
    elif isinstance(value, dict):
        for key, member in cast("dict[str, object]", value).items():
            yield from _walk(member, _below(path, key))
    elif isinstance(value, list):
        for place, member in enumerate(cast("list[object]", value)):
            yield from _walk(member, _below(path, str(place)))


def _is_asset(value: object) -> bool:
    return isinstance(value, dict) and cast("dict[str, object]", value).get("__type") == ASSET_TYPE


def _reference(value: object, path: str) -> AssetReference | MalformedAsset:
    match value:
        case {"info": {"id": str() as asset_id}} if parse_uuid(asset_id.lower()) is not None:
            return AssetReference(asset_id.lower(), path)
        case _:
            return MalformedAsset(path)
