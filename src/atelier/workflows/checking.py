"""A manifest fits its graph and the servers that could run it, or it is said in words what is wrong, and where."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from atelier.comfy.assets import ASSET_TYPE
from atelier.comfy.catalog import InputSpec, NodeSpec
from atelier.comfy.graph import Graph
from atelier.comfy.validation import Generation, validate
from atelier.fleet.inventory import Inventory
from atelier.fleet.requirements import nearest, requirement_of
from atelier.workflows import kinds
from atelier.workflows.manifest import InvalidManifest
from atelier.workflows.model import Binding, Fault, Kind, Manifest, Parameter
from atelier.workflows.places import Nodes, bindings, field_of
from atelier.workflows.samples import missing, requirement, sample
from atelier.workflows.splicing import numbered
from atelier.workflows.structure import structure

__all__ = ["faults", "missing", "requirement", "structure"]

ANY_TYPE = "*"
_TYPES: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.INT: frozenset({"INT", "FLOAT"}),
    Kind.SEED: frozenset({"INT", "FLOAT"}),
    Kind.FLOAT: frozenset({"FLOAT"}),
    Kind.STRING: frozenset({"STRING"}),
    Kind.TEXT: frozenset({"STRING"}),
    Kind.BOOL: frozenset({"BOOLEAN"}),
    Kind.ENUM: frozenset({"COMBO", "STRING"}),
    Kind.MODEL: frozenset({"COMBO", "STRING"}),
    Kind.IMAGE: frozenset({"COMBO", "STRING"}),
    Kind.MASK: frozenset({"COMBO", "STRING"}),
}
"""What the inputs that a kind sets are declared as; of all others it depends on the part."""
_PARTS: Final[Mapping[str, frozenset[str]]] = {
    "width": frozenset({"INT", "FLOAT"}),
    "height": frozenset({"INT", "FLOAT"}),
    "strength": frozenset({"FLOAT"}),
    "name": frozenset({"COMBO", "STRING"}),
}
MOST_NODE_ERRORS = 20


def faults(manifest: Manifest, graph: Graph, inventories: Sequence[Inventory]) -> list[Fault]:
    """All that is wrong. A node class or a model file that no server has is no fault: `missing` tells it."""
    found = structure(manifest, graph)
    if found:
        return found
    found = list(_disagreements(manifest, graph, _specs(inventories)))
    return found or list(_run_faults(manifest, graph, inventories))


def _specs(inventories: Sequence[Inventory]) -> Callable[[str], NodeSpec | None]:
    """The declaration of a class on the first server that has it."""

    @functools.cache
    def spec_of(class_type: str) -> NodeSpec | None:
        return next((spec for one in inventories if (spec := one.catalog.get(class_type))), None)

    return spec_of


def _disagreements(manifest: Manifest, graph: Graph, spec_of: Callable[[str], NodeSpec | None]) -> Iterator[Fault]:
    nodes = Nodes(graph)
    for parameter in manifest.parameters:
        for field, binding in bindings(parameter):
            node = spec_of(_class_of(graph, nodes, binding.node))
            if node is not None:
                where = f"{field_of(parameter)}.{field}"
                yield from (Fault(where, what) for what in _binding_faults(parameter, binding, node))
        if parameter.chain and (node := spec_of(_class_of(graph, nodes, parameter.chain.node))):
            yield from _chain_faults(parameter, node)
    for place, rule in enumerate(manifest.outputs):
        node = spec_of(_class_of(graph, nodes, rule.node))
        if node is not None and not node.is_output:
            yield Fault(f"outputs[{place}].node", f"{node.name} saves nothing: name a node that does")


def _class_of(graph: Graph, nodes: Nodes, said: str) -> str:
    node_id = nodes.find(said)
    return str(graph[node_id]["class_type"]) if node_id else ""


def _binding_faults(parameter: Parameter, binding: Binding, node: NodeSpec) -> Iterator[str]:
    name = numbered(binding.input, 1)
    spec = node.input(name)
    if spec is None:
        if not any(one.is_dynamic for one in node.inputs):
            near = nearest(name, [one.name for one in node.inputs])
            perhaps = f"; did you mean {' or '.join(near)}?" if near else ""
            yield f"{node.name} has no input {name!r}{perhaps}"
        return
    place = f"{node.name}.{name}"
    yield from _type_faults(parameter, binding, spec, place)
    if parameter.kind in {Kind.INT, Kind.FLOAT, Kind.SEED}:
        yield from _bound_faults(*_sent_bounds(parameter), spec, place)
    elif binding.part in {"width", "height"}:
        sides = [one.width if binding.part == "width" else one.height for one in parameter.choices]
        yield from _bound_faults(min(sides), max(sides), spec, place)
    if parameter.kind is Kind.ENUM or (parameter.kind is Kind.ASPECT_RATIO and not binding.part):
        yield from _choice_faults(parameter, spec, place)


def _type_faults(parameter: Parameter, binding: Binding, spec: InputSpec, place: str) -> Iterator[str]:
    declared = "COMBO" if spec.choices is not None else spec.type
    wanted = _PARTS.get(binding.part) or _TYPES.get(parameter.kind)
    if parameter.kind is Kind.IMAGES:
        wanted = frozenset({"IMAGE"})
    if wanted and isinstance(declared, str) and declared not in {*wanted, ANY_TYPE}:
        yield f"a parameter of type {parameter.kind} cannot set {place}, which takes {declared}"


def _sent_bounds(parameter: Parameter) -> tuple[float | None, float | None]:
    """What a server may be sent: a random seed is drawn before."""
    least, most = kinds.bounds(parameter)
    if parameter.kind is Kind.SEED:
        least = max(least or 0, 0)
    return least, most


def _bound_faults(least: float | None, most: float | None, spec: InputSpec, place: str) -> Iterator[str]:
    lowest, highest = spec.options.get("min"), spec.options.get("max")
    if isinstance(lowest, int | float) and (least is None or least < lowest):
        yield f"min is {_none(least)}, and {place} takes {lowest} and more"
    if isinstance(highest, int | float) and (most is None or most > highest):
        yield f"max is {_none(most)}, and {place} takes {highest} at most"


def _none(value: float | None) -> str:
    return "not given" if value is None else str(value)


def _choice_faults(parameter: Parameter, spec: InputSpec, place: str) -> Iterator[str]:
    offered = spec.choices
    if offered is None or spec.upload:
        return
    for choice in parameter.choices:
        if choice.value not in offered:
            near = nearest(choice.value, [one for one in offered if isinstance(one, str)])
            perhaps = f"; did you mean {' or '.join(near)}?" if near else ""
            yield f"{place} does not offer {choice.value!r}{perhaps}"


def _chain_faults(parameter: Parameter, node: NodeSpec) -> Iterator[Fault]:
    chain = parameter.chain
    if chain is None:
        return
    for name, output, kind in (("model", chain.model, "MODEL"), ("clip", chain.clip, "CLIP")):
        if output is None:
            continue
        made = node.outputs[output] if output < len(node.outputs) else None
        if made not in {kind, ANY_TYPE}:
            what = f"output {output} of {node.name} is {made or 'not there'}, not {kind}"
            yield Fault(f"{field_of(parameter)}.chain.{name}", what)


def _run_faults(manifest: Manifest, graph: Graph, inventories: Sequence[Inventory]) -> Iterable[Fault]:
    """What a server that has all its node classes would say of it, with every file and with the fewest."""
    try:
        graphs = [sample(manifest, graph), sample(manifest, graph, files=False)]
    except InvalidManifest as refusal:
        return refusal.faults
    found: dict[Fault, None] = {}
    for each in graphs:
        knowing = (one for one in inventories if all(node["class_type"] in one.classes for node in each.values()))
        able = next(knowing, None)
        if able is not None:
            found |= dict.fromkeys(_verdict_faults(each, able))
    return list(found)[:MOST_NODE_ERRORS]


def _verdict_faults(graph: Graph, inventory: Inventory) -> Iterator[Fault]:
    """Model files that are not there are told by `missing`, and files come with the request."""
    models = {(ref.class_type, ref.input_name) for ref in requirement_of(graph, (inventory,)).models}

    def ignore(class_type: str, name: str, value: Any) -> bool:
        return (class_type, name) in models or (isinstance(value, dict) and ASSET_TYPE in value.values())

    verdict = validate(graph, inventory.catalog, skip_files=True, ignore=ignore, generation=Generation.NEW)
    if verdict.error and not verdict.node_errors:
        yield Fault("graph.json", f"{verdict.error.get('message')} {verdict.error.get('details', '')}".strip())
    for node_id, told in verdict.node_errors.items():
        for error in told["errors"]:
            what = f"{error.get('message')}: {error.get('details')}"
            yield Fault(f"graph.json node {node_id} ({told['class_type']})", what)
