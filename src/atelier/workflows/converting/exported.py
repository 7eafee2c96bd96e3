"""What the editor keeps of a graph, as values: its forms (0.4: links as lists, 1: links as objects) are one.

Ids become text: files have numbers, and texts for nodes that were unpacked from subgraphs. What a file may leave
out is empty here; what makes no sense is refused by its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from atelier.comfy.catalog import as_list, as_object
from atelier.workflows.converting.refusals import CannotConvert, Why, cannot

INPUTS_ID = "-10"
OUTPUTS_ID = "-20"
"""The two ends of a subgraph, as links inside of it name them (litegraph's SUBGRAPH_INPUT_ID, …_OUTPUT_ID)."""

MOST_NODES = 10_000
MOST_LINKS = 50_000
MOST_SLOTS = 300
"""Inputs of one node, outputs likewise."""
MOST_VALUES = 10_000
"""Of one node's widgets."""
MOST_SUBGRAPHS = 1_000
MOST_NESTED = 50


@dataclass(frozen=True, slots=True)
class Slot:
    """An input or output of a node. `link` is what feeds it; `widget` the name of the widget it stands for."""

    name: str
    type: str
    link: int | None = None
    widget: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """`values` are the widgets' values by place, or by name (a mapping) as some packs keep them."""

    id: str
    type: str
    title: str
    mode: int
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    values: Sequence[Any] | Mapping[str, Any]
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Link:
    """Output number `origin_slot` of node `origin` feeds input number `target_slot` of node `target`."""

    id: int
    origin: str
    origin_slot: int
    target: str
    target_slot: int


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a subgraph, with the links inside that it has."""

    name: str
    type: str
    links: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """One graph: the whole workflow, or what a subgraph is made of: then instances have its `id` as their type."""

    id: str
    name: str
    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()


@dataclass(frozen=True, slots=True)
class Workflow:
    """`last_node` is the highest number that was ever given to a node; `groups` are old group nodes by name."""

    root: Sheet
    subgraphs: tuple[Sheet, ...] = ()
    last_node: int = 0
    groups: Mapping[str, Any] = field(default_factory=dict[str, Any])


def is_workflow(document: object) -> bool:
    """Whether it looks like a file of the editor, and not like a graph in API format."""
    table = as_object(document)
    return table is not None and as_list(table.get("nodes")) is not None


def read(document: object) -> Workflow:
    """Raises CannotConvert."""
    table = as_object(document)
    if table is None or as_list(table.get("nodes")) is None:
        raise cannot(Why.NOT_A_WORKFLOW, "This is no workflow of the editor: it has no list of nodes.")
    extra = as_object(table.get("extra")) or {}
    state = as_object(table.get("state")) or {}
    last = table.get("last_node_id", state.get("lastNodeId"))
    return Workflow(
        _sheet(table, "the workflow"),
        tuple(_subgraphs(table, 0)),
        last if isinstance(last, int) and last > 0 else 0,
        as_object(extra.get("groupNodes")) or {},
    )


def _subgraphs(table: Mapping[str, Any], depth: int) -> list[Sheet]:
    """Definitions, each followed by those inside of it."""
    if depth > MOST_NESTED:
        raise cannot(
            Why.TOO_BIG, f"Definitions of subgraphs stand in one another; {MOST_NESTED} deep are allowed."
        )
    found: list[Sheet] = []
    for raw in as_list((as_object(table.get("definitions")) or {}).get("subgraphs")) or []:
        definition = as_object(raw)
        if definition is None or not isinstance(definition.get("id"), str):
            raise _nonsense("a subgraph", "it has no id")
        found += [
            _sheet(definition, f"subgraph {_text(definition.get('name'))!r}"),
            *_subgraphs(definition, depth + 1),
        ]
        if len(found) > MOST_SUBGRAPHS:
            raise cannot(Why.TOO_BIG, f"There are more than {MOST_SUBGRAPHS} subgraphs.")
    return found


def _sheet(table: Mapping[str, Any], where: str) -> Sheet:
    nodes = as_list(table.get("nodes", [])) or []
    links = as_list(table.get("links", [])) or []
    if len(nodes) > MOST_NODES or len(links) > MOST_LINKS:
        raise cannot(Why.TOO_BIG, f"In {where} are {len(nodes)} nodes and {len(links)} links.")
    return Sheet(
        _text(table.get("id")),
        _text(table.get("name")),
        _once([_node(one, where) for one in nodes], where),
        tuple(link for one in links if (link := _link(one, where)) is not None),
        _ports(table.get("inputs")),
        _ports(table.get("outputs")),
    )


def _once(nodes: Sequence[Node], where: str) -> tuple[Node, ...]:
    seen = {node.id: node for node in nodes}
    if len(seen) != len(nodes):
        raise _nonsense(where, "two nodes have the same id")
    return tuple(nodes)


def _node(raw: object, where: str) -> Node:
    table = as_object(raw)
    if table is None:
        raise _nonsense(where, "a node is not an object")
    node_id, kind = _id(table.get("id")), table.get("type")
    if node_id is None or not isinstance(kind, str):
        raise _nonsense(where, "a node has no id or no type")
    values = table.get("widgets_values")
    return Node(
        node_id,
        kind,
        _text(table.get("title")),
        _whole(table.get("mode")) or 0,
        _slots(table.get("inputs")),
        _slots(table.get("outputs")),
        as_object(values) or (as_list(values) or [])[:MOST_VALUES],
        as_object(table.get("properties")) or {},
    )


def _slots(raw: object) -> tuple[Slot, ...]:
    slots = as_list(raw) or []
    if len(slots) > MOST_SLOTS:
        raise cannot(Why.TOO_BIG, f"A node has {len(slots)} inputs or outputs; {MOST_SLOTS} are allowed.")
    return tuple(_slot(as_object(one) or {}) for one in slots)


def _slot(table: Mapping[str, Any]) -> Slot:
    widget = (as_object(table.get("widget")) or {}).get("name")
    return Slot(
        _text(table.get("name")),
        type_text(table.get("type")),
        _whole(table.get("link")),
        widget if isinstance(widget, str) else None,
    )


def type_text(raw: object) -> str:
    """A slot's type; the choices of an old combo are COMBO, numbers (events of litegraph) and nothing are any."""
    if isinstance(raw, str):
        return raw
    return "COMBO" if isinstance(raw, list) else "*"


def _link(raw: object, where: str) -> Link | None:
    """Links of the form 0.4 are `[id, origin, slot, target, slot, type]`; empty places of a list are none."""
    if raw is None:
        return None
    row, table = as_list(raw), as_object(raw)
    if table is not None:
        row = [table.get(key) for key in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
    match row[:5] if row else None:
        case [number, origin, from_slot, target, to_slot]:
            link_id, slots = _whole(number), (_whole(from_slot), _whole(to_slot))
            ends = (_id(origin), _id(target))
        case _:
            raise _nonsense(where, "a link has no ends")
    if link_id is None or slots[0] is None or slots[1] is None or ends[0] is None or ends[1] is None:
        raise _nonsense(where, f"link {number!r} has no ends")
    return Link(link_id, ends[0], slots[0], ends[1], slots[1])


def _ports(raw: object) -> tuple[Port, ...]:
    return tuple(_port(as_object(one) or {}) for one in (as_list(raw) or [])[:MOST_SLOTS])


def _port(table: Mapping[str, Any]) -> Port:
    numbers = (_whole(one) for one in as_list(table.get("linkIds")) or [])
    return Port(
        _text(table.get("name")), type_text(table.get("type")), tuple(one for one in numbers if one is not None)
    )


def _id(raw: object) -> str | None:
    if isinstance(raw, str):
        return raw[:200] or None
    number = _whole(raw)
    return None if number is None else str(number)


def _whole(raw: object) -> int | None:
    """JSON of some programs has whole numbers with a point, or as texts."""
    match raw:
        case bool():
            return None
        case int() if abs(raw) < 2**53:
            return raw
        case float() if raw.is_integer() and abs(raw) < 2**53:
            return int(raw)
        case str() if raw.removeprefix("-").isascii() and raw.removeprefix("-").isdigit() and len(raw) < 16:
            return int(raw)
        case _:
            return None


def _text(raw: object) -> str:
    return raw if isinstance(raw, str) else ""


def _nonsense(where: str, what: str) -> CannotConvert:
    return cannot(Why.NOT_A_WORKFLOW, f"This is no workflow of the editor: in {where}, {what}.")
