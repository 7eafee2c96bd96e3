"""Every node and input that a manifest names is in its graph, and nothing is said twice."""

from collections.abc import Iterator

from atelier.comfy.graph import Graph, InvalidWorkflow, parse
from atelier.fleet.requirements import nearest
from atelier.workflows.model import Binding, Fault, Manifest, Parameter
from atelier.workflows.places import Nodes, bindings, field_of, missing, taken
from atelier.workflows.splicing import NUMBERED


def structure(manifest: Manifest, graph: Graph) -> list[Fault]:
    """All that is wrong between the two, whatever servers there are."""
    try:
        parse(graph)
    except InvalidWorkflow as refusal:
        return [Fault("graph.json", refusal.message)]
    faults = missing(manifest, graph)
    nodes = Nodes(graph)
    for parameter in manifest.parameters:
        faults += _inputs(parameter, graph, nodes)
        faults += _chain(parameter, graph, nodes)
    return [*faults, *_twice(manifest, nodes)]


def _inputs(parameter: Parameter, graph: Graph, nodes: Nodes) -> Iterator[Fault]:
    for field, binding in bindings(parameter):
        node_id = nodes.find(binding.node)
        if node_id is None or NUMBERED.search(binding.input):
            continue
        inputs = graph[node_id]["inputs"]
        if binding.input not in inputs:
            near = nearest(binding.input, inputs)
            has = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(inputs) or 'none'}"
            what = f"node {binding.node!r} has no input {binding.input!r} in graph.json; {has}"
            yield Fault(f"{field_of(parameter)}.{field}.input", what)


def _chain(parameter: Parameter, graph: Graph, nodes: Nodes) -> Iterator[Fault]:
    chain = parameter.chain
    node_id = nodes.find(chain.node) if chain else None
    if chain is None or node_id is None:
        return
    used = {output for _, _, output in taken(graph, node_id)}
    for name, output in (("model", chain.model), ("clip", chain.clip)):
        if output is not None and output not in used:
            where = f"{field_of(parameter)}.chain.{name}"
            yield Fault(where, f"nothing takes output {output} of node {chain.node!r}, so a LoRA changes nothing")
    if chain.model == chain.clip:
        yield Fault(
            f"{field_of(parameter)}.chain.clip", "is the output of the model; write null where there is none"
        )


def _twice(manifest: Manifest, nodes: Nodes) -> Iterator[Fault]:
    """Two that depend on something may mean one input, each at its time."""
    first: dict[tuple[str | None, str], Parameter] = {}
    for parameter in manifest.parameters:
        for field, binding in bindings(parameter):
            place = (nodes.find(binding.node), binding.input)
            other = first.setdefault(place, parameter)
            if other is not parameter and not (other.depends_on or parameter.depends_on):
                yield Fault(f"{field_of(parameter)}.{field}", _sets_too(other, binding))


def _sets_too(other: Parameter, binding: Binding) -> str:
    return f"{other.name} sets input {binding.input!r} of node {binding.node!r} too"
