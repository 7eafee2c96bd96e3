"""Nodes of subgraphs have ids that no other node has: of equal ones the later are numbered anew.

Source: deduplicateSubgraphNodeIds of the editor.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from atelier.comfy.catalog import as_list
from atelier.workflows.converting.exported import Node, Sheet, Workflow

SHOWN = "proxyWidgets"
"""The property of an instance that names nodes inside of it."""


def renumbered(workflow: Workflow) -> Workflow:
    """What instances say of nodes inside of them goes with the ids."""
    numbers = _Numbers({node.id for node in workflow.root.nodes}, workflow.last_node)
    new = {sheet.id: numbers.given(sheet) for sheet in workflow.subgraphs}
    if not any(new.values()):
        return workflow
    sheets = tuple(_with_ids(sheet, new[sheet.id], new) for sheet in workflow.subgraphs)
    return replace(workflow, root=_with_ids(workflow.root, {}, new), subgraphs=sheets)


class _Numbers:
    def __init__(self, taken: set[str], last: int) -> None:
        self._taken = taken
        self._last = last

    def given(self, sheet: Sheet) -> dict[str, str]:
        """New ids by old ones, for those that are taken."""
        new: dict[str, str] = {}
        for node in sheet.nodes:
            if node.id in self._taken:
                new[node.id] = self._next()
            elif node.id.isascii() and node.id.isdigit():
                self._last = max(self._last, int(node.id))
            self._taken.add(new.get(node.id, node.id))
        return new

    def _next(self) -> str:
        self._last += 1
        while str(self._last) in self._taken:
            self._last += 1
        return str(self._last)


def _with_ids(sheet: Sheet, own: Mapping[str, str], new: Mapping[str, Mapping[str, str]]) -> Sheet:
    links = (
        replace(one, origin=own.get(one.origin, one.origin), target=own.get(one.target, one.target))
        for one in sheet.links
    )
    nodes = (_shown_anew(replace(node, id=own.get(node.id, node.id)), new.get(node.type)) for node in sheet.nodes)
    return replace(sheet, nodes=tuple(nodes), links=tuple(links))


def _shown_anew(node: Node, new: Mapping[str, str] | None) -> Node:
    rows = as_list(node.properties.get(SHOWN))
    if not new or not rows:
        return node
    return replace(node, properties={**node.properties, SHOWN: [_row(one, new) for one in rows]})


def _row(row: Any, new: Mapping[str, str]) -> Any:
    match as_list(row):
        case [str(node_id), *rest]:
            return [new.get(node_id, node_id), *rest]
        case _:
            return row
