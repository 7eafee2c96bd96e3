"""Which node of a graph is meant: by its id or, where no id is it, by its title; a title of several means none."""

from collections.abc import Iterator, Mapping
from typing import Any

from atelier.comfy.catalog import as_object
from atelier.comfy.links import Graph, unwrapped
from atelier.fleet.requirements import nearest
from atelier.workflows.model import Binding, Fault, Manifest, Parameter

MOST_LISTED = 8


class Nodes:
    """The nodes of one graph by what a manifest may call them."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._titled: dict[str, list[str]] = {}
        for node_id, node in graph.items():
            if title := title_of(node):
                self._titled.setdefault(title, []).append(node_id)

    def find(self, said: str) -> str | None:
        """The id of the node that is meant; None where it is none, or not clear."""
        if said in self._graph:
            return said
        titled = self._titled.get(said, [])
        return titled[0] if len(titled) == 1 else None

    def why_not(self, said: str) -> str:
        """Why `find` gives nothing, in words."""
        titled = self._titled.get(said, [])
        if titled:
            return f"nodes {', '.join(titled[:MOST_LISTED])} are all called {said!r}: name one by its id"
        known = [*self._titled, *self._graph]
        near = nearest(said, known)
        perhaps = f"did you mean {' or '.join(near)}?" if near else f"there are {_listed(known)}"
        return f"no node has the id or title {said!r}; {perhaps}"


def title_of(node: Mapping[str, Any]) -> str:
    """What the editor shows above a node; empty where the graph does not say."""
    title = (as_object(node.get("_meta")) or {}).get("title")
    return title if isinstance(title, str) else ""


def bindings(parameter: Parameter) -> Iterator[tuple[str, Binding]]:
    """Each of its bindings with its field: `bind[0]`, `batch`."""
    for place, binding in enumerate(parameter.bind):
        yield f"bind[{place}]", binding
    if parameter.batch:
        yield "batch", parameter.batch


def field_of(parameter: Parameter) -> str:
    """Where it stands in the manifest."""
    return f"parameters.{parameter.name}"


def places(manifest: Manifest, graph: Graph) -> Mapping[str, tuple[str, ...]]:
    """The nodes that each parameter changes."""
    nodes = Nodes(graph)
    found: dict[str, tuple[str, ...]] = {}
    for parameter in manifest.parameters:
        said = [binding.node for _, binding in bindings(parameter)]
        said += [parameter.chain.node] if parameter.chain else []
        ids = (nodes.find(one) for one in said)
        found[parameter.name] = tuple(dict.fromkeys(one for one in ids if one is not None))
    return found


def result_nodes(manifest: Manifest, graph: Graph) -> tuple[str, ...]:
    """The nodes whose files are the result; none: all that save."""
    nodes = Nodes(graph)
    ids = (nodes.find(rule.node) for rule in manifest.outputs)
    return tuple(one for one in ids if one is not None)


def taken(graph: Graph, node_id: str) -> Iterator[tuple[str, str, int]]:
    """Who takes an output of this node: node, input and the number of the output."""
    for target, node in graph.items():
        for name, value in node["inputs"].items():
            match unwrapped(value):
                case [str() as source, int() | float() as output] if source == node_id:
                    yield target, name, int(output)
                case _:
                    continue


def missing(manifest: Manifest, graph: Graph) -> list[Fault]:
    """Every node that the manifest names and the graph has not."""
    nodes = Nodes(graph)
    found: list[Fault] = []
    for parameter in manifest.parameters:
        said = [(name, binding.node) for name, binding in bindings(parameter)]
        said += [("chain", parameter.chain.node)] if parameter.chain else []
        found += [
            Fault(f"{field_of(parameter)}.{name}.node", nodes.why_not(node))
            for name, node in said
            if nodes.find(node) is None
        ]
    for place, rule in enumerate(manifest.outputs):
        if nodes.find(rule.node) is None:
            found.append(Fault(f"outputs[{place}].node", nodes.why_not(rule.node)))
    return found


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return ", ".join(names[:MOST_LISTED]) + more
