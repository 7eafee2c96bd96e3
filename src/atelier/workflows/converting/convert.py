"""A file of the editor becomes the graph that the editor would send, or is refused with every reason by name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.comfy import graph as graphs
from atelier.comfy.links import Graph
from atelier.workflows.converting import exported, numbering, opening, primitives, texts, writing
from atelier.workflows.converting.classes import Classes
from atelier.workflows.converting.following import At
from atelier.workflows.converting.refusals import CannotConvert, Reason, Why, cannot
from atelier.workflows.converting.scene import PRIMITIVE
from atelier.workflows.converting.scripts import GETTERS, SCRIPTED, SETTERS
from atelier.workflows.converting.widgets import BROWSER, kind_of

GROUP_NODES = ("workflow/", "workflow>")


@dataclass(frozen=True, slots=True)
class Converted:
    """`notes` are sentences about what a person may not expect of the graph."""

    graph: Graph
    notes: tuple[str, ...] = ()


def convert(document: object, object_info: Mapping[str, Any]) -> Converted:
    """`document` is parsed JSON of the editor, `object_info` the classes of the fleet. Raises CannotConvert."""
    classes = Classes(object_info)
    workflow = numbering.renumbered(exported.read(document))
    opened = opening.opened(workflow, classes)
    nodes = list(writing.run_nodes(opened))
    reasons = _reasons(nodes, classes)
    if reasons:
        raise CannotConvert(reasons)
    called = texts.by_name([node for scene in reversed(opened.all()) for node in scene.nodes.values()])
    primitives.applied(opened.all(), lambda text: texts.named(called, text))
    graph = writing.written(opened, nodes, lambda text: texts.named(called, text))
    return Converted(_runnable(graph, classes), tuple(_notes(nodes)))


def _reasons(nodes: Sequence[At], classes: Classes) -> list[Reason]:
    found = (_reason(at, classes) for at in nodes if not at.node.off)
    return [one for one in found if one is not None]


def _reason(at: At, classes: Classes) -> Reason | None:
    """Why this node cannot be run by any server."""
    kind, title = at.node.node.type, at.node.title
    if at.node.virtual:
        return None
    if kind in SCRIPTED:
        message = (
            f"Node {at.id} ({kind}) draws its wires by a script of the editor, which no file keeps: draw them."
        )
        return Reason(Why.SCRIPTED_NODE, message, at.id, kind)
    if kind.startswith(GROUP_NODES):
        message = (
            f"Node {at.id} is an old group node ({title}): open and save it in a newer editor, or ungroup it."
        )
        return Reason(Why.OLD_GROUP_NODE, message, at.id, kind)
    node_class = classes.get(kind)
    if node_class is None:
        return Reason(Why.UNKNOWN_NODE, f"No server has nodes of the class {kind} (node {at.id}).", at.id, kind)
    if any(kind_of(spec) in BROWSER for spec in node_class.inputs):
        message = f"Node {at.id} ({kind}) takes what only a browser can give: a camera, a microphone or a 3D view."
        return Reason(Why.BROWSER_NODE, message, at.id, kind)
    return None


def _runnable(graph: Graph, classes: Classes) -> Graph:
    if not any(one.is_output for node in graph.values() if (one := classes.get(node["class_type"]))):
        raise cannot(Why.NOTHING_TO_RUN, "Nothing in this workflow shows or saves anything that is switched on.")
    try:
        return graphs.parse(graph)
    except graphs.InvalidWorkflow as refusal:
        raise cannot(Why.NOT_RUNNABLE, f"The workflow cannot be run as it is: {refusal.message}") from refusal


def _notes(nodes: Sequence[At]) -> list[str]:
    off = sum(at.node.off for at in nodes)
    wires = sum(at.node.node.type in SETTERS | GETTERS for at in nodes)
    primitive = sum(at.node.node.type == PRIMITIVE for at in nodes)
    told = (
        (off, f"{off} nodes are muted or bypassed and were left out."),
        (wires, f"{wires} named wires (Set and Get) became links."),
        (primitive, f"{primitive} primitives became values of what they feed."),
    )
    return [sentence for number, sentence in told if number]
