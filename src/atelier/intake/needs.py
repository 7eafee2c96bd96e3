"""What a server must have for the part of a graph that is run, and what that part has in common with others."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from atelier.comfy.graph import Graph, shape_digest
from atelier.comfy.links import sources
from atelier.fleet.inventory import Inventory
from atelier.fleet.model import Requirement
from atelier.fleet.requirements import lane_of, requirement_of


@dataclass(frozen=True, slots=True)
class Needs:
    """`shape`: graphs of one shape take equally long."""

    requirement: Requirement
    lane: str
    shape: bytes


def needs_of(graph: Graph, known: Sequence[Inventory], outputs: Collection[str] = ()) -> Needs:
    """What it takes to run `graph` for these outputs (none: for all).

    A server refuses a graph that has a node of an unknown class anywhere; models are loaded where they are used.
    """
    part = upstream(graph, outputs) if outputs else graph
    requirement = requirement_of(part, known)
    if part is not graph:
        classes = frozenset(str(node["class_type"]) for node in graph.values())
        requirement = Requirement(classes, requirement.models)
    return Needs(requirement, lane_of(part, known), shape_digest(part))


def upstream(graph: Graph, outputs: Collection[str]) -> Graph:
    """These nodes and all that feed them; the graph itself where that is all of it."""
    feeds = sources(graph)
    wanted = [node_id for node_id in outputs if node_id in graph]
    found = set(wanted)
    while wanted:
        fresh = (feeds[wanted.pop()] & graph.keys()) - found
        found |= fresh
        wanted += fresh
    return graph if len(found) == len(graph) else {key: node for key, node in graph.items() if key in found}
