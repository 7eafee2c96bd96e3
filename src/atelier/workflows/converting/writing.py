"""The open graph is written down as a server takes it: one node for each that is run, its whole path as id."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from atelier.comfy.catalog import as_list
from atelier.comfy.links import Graph
from atelier.workflows.converting import texts
from atelier.workflows.converting.following import At, Follower, Source
from atelier.workflows.converting.opening import Opened
from atelier.workflows.converting.refusals import Why, cannot
from atelier.workflows.converting.scene import MISSING, Placed, Scene, Widget

MOST_NODES = 20_000
MOST_DEEP = 100
"""Subgraphs in subgraphs."""
PACK = {"cnr_id": "cnr_id", "aux_id": "aux_id", "ver": "ver"}
"""What the editor knows of the pack that a node came from."""

Said = Callable[[str], str]


def run_nodes(opened: Opened) -> Iterator[At]:
    """Every node that the editor would look at, instances opened; of instances that are off nothing.

    Raises CannotConvert where subgraphs in subgraphs make too many.
    """
    _check_number(opened)
    for node in opened.root.nodes.values():
        at = At((), opened.root, node)
        if node.inside is None or not node.off:
            yield from _opened(at)


def _check_number(opened: Opened) -> None:
    """Counted before they are opened: thirty subgraphs, each twice in the next, are a thousand million."""
    sizes: dict[str, tuple[int, int]] = {}
    for scene in opened.scenes.values():
        sizes[scene.sheet.id] = _size(scene, sizes)
    nodes, depth = _size(opened.root, sizes)
    if nodes > MOST_NODES or depth > MOST_DEEP:
        raise cannot(Why.TOO_BIG, f"With its subgraphs opened this has {nodes} nodes, {depth} levels deep.")


def _size(scene: Scene, sizes: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """Nodes and levels when everything is opened."""
    inside = [sizes[node.inside.sheet.id] for node in scene.nodes.values() if node.inside]
    return len(scene.nodes) + sum(nodes for nodes, _ in inside), 1 + max((deep for _, deep in inside), default=0)


def _opened(at: At) -> Iterator[At]:
    """No deeper than Python allows, which was counted before."""
    if at.node.inside is None:
        yield at
        return
    for node in at.node.inside.nodes.values():
        yield from _opened(at.within(node))


def written(opened: Opened, nodes: list[At], said: Said) -> Graph:
    """Links to what is not run are left out. Raises CannotConvert."""
    follower = Follower(opened.root)
    graph = {at.id: _node(at, follower, said) for at in nodes if not at.node.virtual and not at.node.off}
    for node in graph.values():
        node["inputs"] = {name: one for name, one in node["inputs"].items() if not _is_lost(one, graph)}
    return graph


def _node(at: At, follower: Follower, said: Said) -> dict[str, Any]:
    inputs = {one.name: _sent(at, one, follower, said) for one in at.node.widgets if one.sent and one.name}
    for slot, socket in enumerate(at.node.sockets):
        match follower.feeds(at, slot):
            case Source() as source:
                inputs[socket.name] = [source.at.id, source.output]
            case Widget() as shown:
                inputs[socket.name] = _wrapped(shown.value)
            case None:
                pass
    given = {name: value for name, value in inputs.items() if value is not MISSING}
    return {"inputs": given, "class_type": at.node.node.type, "_meta": _meta(at.node)}


def _meta(node: Placed) -> dict[str, str]:
    pack = {key: node.node.properties.get(name) for key, name in PACK.items()}
    return {"title": node.title, **{key: one for key, one in pack.items() if isinstance(one, str) and one}}


def _sent(at: At, widget: Widget, follower: Follower, said: Said) -> Any:
    value = _choice(at, follower) if widget.kind == "index" else widget.value
    if isinstance(value, str):
        if isinstance(widget.options.get("dynamicPrompts"), bool) and widget.options["dynamicPrompts"]:
            value = texts.prompt(value)
        elif widget.name == "filename_prefix" and at.node.node.type in texts.SAVERS:
            value = said(value)
    if widget.kind == "curve" and value is not None and value is not MISSING:
        return {"__type__": "CURVE", "__value__": value}
    return _wrapped(value)


def _choice(at: At, follower: Follower) -> int:
    """Which of its own choices a CustomCombo has, also where its subgraph shows the choice; -1: none."""
    sockets = enumerate(at.node.sockets)
    slot = next((number for number, one in sockets if one.widget == at.node.widgets[0].name), None)
    shown = follower.feeds(at, slot) if slot is not None else None
    value = shown.value if isinstance(shown, Widget) else at.node.widgets[0].value
    options = [one.value for one in at.node.widgets if one.kind == "option"]
    return options.index(value) if value in options else -1


def _wrapped(value: Any) -> Any:
    """A list that is a value, not a link (ComfyUI unwraps it before it runs the node)."""
    return {"__value__": value} if as_list(value) is not None else value


def _is_lost(value: Any, graph: Graph) -> bool:
    return isinstance(value, list) and value[0] not in graph
