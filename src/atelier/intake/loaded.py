"""Files that a graph names as its client knows them are the account's own assets in the graph that is stored."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from atelier.assets import naming
from atelier.comfy.assets import ASSET_TYPE
from atelier.comfy.catalog import as_object
from atelier.comfy.graph import Graph, LoaderInput, loader_inputs
from atelier.comfy.links import WRAPPED
from atelier.comfy.refusals import too_big
from atelier.kit.database import Tx
from atelier.kit.ids import AccountId, AssetId

MOST_FILES = 500
"""Different names in one graph: each is looked up by itself."""


@dataclass(frozen=True, slots=True)
class Files:
    """`graph` names assets where `shown` has what its client wrote, by node and input.

    `unknown` names files that the account does not have: an operator may have put them on the servers.
    """

    graph: Graph
    shown: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    unknown: tuple[LoaderInput, ...] = ()


def names_in(graph: Graph, catalogues: Iterable[Mapping[str, Any]]) -> list[LoaderInput]:
    """The inputs that name files, for any server. Raises InvalidWorkflow for hundreds of them."""
    found = dict.fromkeys(loader_inputs(graph, *catalogues))
    if len({one.value for one in found}) > MOST_FILES:
        raise too_big(f"it names more than {MOST_FILES} files")
    return list(found)


async def find_files(tx: Tx, account_id: AccountId, graph: Graph, named: Sequence[LoaderInput]) -> Files:
    """The account's own files among those named."""
    assets = {value: await naming.resolve(tx, account_id, value) for value in {one.value for one in named}}
    own = {value: asset_id for value, asset_id in assets.items() if asset_id is not None}
    resolved, shown = dict(graph), dict[str, dict[str, Any]]()
    for one in named:
        inputs = cast("dict[str, Any]", graph[one.node_id]["inputs"])
        if one.value in own:
            shown.setdefault(one.node_id, {})[one.name] = inputs[one.name]
    for node_id, written in shown.items():
        placed = {name: _with_assets(value, own) for name, value in written.items()}
        resolved[node_id] = {**graph[node_id], "inputs": {**graph[node_id]["inputs"], **placed}}
    return Files(resolved, shown, tuple(one for one in named if one.value not in own))


def _with_assets(value: object, own: Mapping[str, AssetId]) -> object:
    """The same with an asset for each name; a list of choices has several."""
    if isinstance(value, str) and value in own:
        return {"__type": ASSET_TYPE, "info": {"id": str(own[value])}}
    if isinstance(value, list):
        return [_with_assets(one, own) for one in cast("list[object]", value)]
    table = as_object(value)
    if table is not None and WRAPPED in table:
        return {**table, WRAPPED: _with_assets(table[WRAPPED], own)}
    return value
