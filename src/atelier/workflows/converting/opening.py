"""A file is opened as the editor opens it: subgraphs first, innermost before outer ones, then the whole."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from atelier.workflows.converting import drawing, restoring
from atelier.workflows.converting.classes import Classes
from atelier.workflows.converting.exported import Link, Node, Sheet, Slot, Workflow
from atelier.workflows.converting.promoting import instance_configured, promotions_migrated
from atelier.workflows.converting.refusals import Why, cannot
from atelier.workflows.converting.scene import (
    MARKDOWN_NOTE,
    NOTE,
    PRIMITIVE,
    REROUTE,
    Gate,
    Placed,
    Scene,
    Socket,
    Widget,
)
from atelier.workflows.converting.scripts import VIRTUAL


@dataclass(frozen=True, slots=True)
class Opened:
    """`scenes` are those of subgraphs by id."""

    root: Scene
    scenes: Mapping[str, Scene]

    def all(self) -> list[Scene]:
        return [*self.scenes.values(), self.root]


def opened(workflow: Workflow, classes: Classes) -> Opened:
    """Raises CannotConvert where subgraphs contain themselves."""
    scenes: dict[str, Scene] = {}
    for sheet in _innermost_first(workflow.subgraphs):
        scenes[sheet.id] = _scene(sheet, classes, scenes)
    return Opened(_scene(workflow.root, classes, scenes), scenes)


def _innermost_first(sheets: Iterable[Sheet]) -> list[Sheet]:
    waiting = {sheet.id: sheet for sheet in reversed(list(sheets))}
    waiting = dict(reversed(waiting.items()))
    ready: list[Sheet] = []
    done: set[str] = set()
    while waiting:
        free = [one for one in waiting.values() if not _needs(one, waiting) - {""}]
        if not free:
            names = ", ".join(sorted(one.name or one.id for one in waiting.values())[:5])
            raise cannot(Why.RECURSIVE_SUBGRAPH, f"Subgraphs contain themselves: {names}.")
        for one in free:
            ready.append(one)
            done.add(one.id)
            del waiting[one.id]
    return ready


def _needs(sheet: Sheet, waiting: Mapping[str, Sheet]) -> set[str]:
    return {node.type for node in sheet.nodes if node.type in waiting}


def _scene(sheet: Sheet, classes: Classes, scenes: Mapping[str, Scene]) -> Scene:
    scene = Scene(sheet)
    scene.inputs = [Gate(one.name, one.type, list(one.links)) for one in sheet.inputs]
    scene.outputs = [Gate(one.name, one.type, list(one.links)) for one in sheet.outputs]
    scene.links = _links(sheet)
    for node in sheet.nodes:
        scene.nodes[node.id] = _placed(node, classes, scenes)
    _attach(scene)
    for placed in scene.nodes.values():
        if placed.inside is not None:
            placed.inside.instances.append(placed)
            instance_configured(placed)
    for placed in scene.nodes.values():
        if placed.inside is not None:
            promotions_migrated(placed)
    return scene


def _links(sheet: Sheet) -> dict[int, Link]:
    """Of two links into one input the one stays that the input names, else the first."""
    named = {slot.link for node in sheet.nodes for slot in node.inputs if slot.link is not None}
    kept: dict[tuple[str, int], Link] = {}
    for link in sheet.links:
        place = (link.target, link.target_slot)
        known = kept.get(place)
        if known is None or (link.id in named and known.id not in named):
            kept[place] = link
    return {link.id: link for link in kept.values()}


def _placed(node: Node, classes: Classes, scenes: Mapping[str, Scene]) -> Placed:
    if node.type in scenes:
        return _instance(node, scenes[node.type])
    node_class = classes.get(node.type)
    if node_class is not None and node.type not in {NOTE, MARKDOWN_NOTE, REROUTE, PRIMITIVE}:
        return _real(node, classes)
    virtual = node.type in VIRTUAL
    sockets = [Socket(slot.name, slot.type) for slot in node.inputs]
    outputs = [slot.type for slot in node.outputs]
    return Placed(node, node.title or node.type, virtual, sockets, [], outputs, drawn=virtual)


def _instance(node: Node, inside: Scene) -> Placed:
    sockets = [Socket(gate.name, gate.type) for gate in inside.inputs]
    outputs = [gate.type for gate in inside.outputs]
    return Placed(node, node.title or inside.sheet.name, True, sockets, [], outputs, inside)


def _real(node: Node, classes: Classes) -> Placed:
    node_class = classes.get(node.type)
    if node_class is None:
        raise LookupError(node.type)
    one = drawing.drawn(node_class)
    fed = [slot.name for slot in node.inputs if slot.link is not None]
    drawing.grown(one, fed)
    _extra(one, node.inputs)
    restoring.restored(one, node_class, node.values)
    drawing.grown(one, fed)
    _extra(
        one, [slot for slot in node.inputs if any(g.ordinal(slot.name) is not None for g in one.growing.values())]
    )
    sockets = _without_orphans(one)
    _mended(node, one.widgets)
    kept = [slot.type for slot in node.outputs[len(node_class.outputs) :]]
    return Placed(node, node.title or node_class.title, False, sockets, one.widgets, [*node_class.outputs, *kept])


def _extra(one: drawing.Drawn, slots: Iterable[Slot]) -> None:
    """Inputs that a class does not declare stay: scripts of packs add some."""
    for slot in slots:
        if one.socket(slot.name) is None:
            one.sockets.append(Socket(slot.name, slot.type, slot.widget))


def _without_orphans(one: drawing.Drawn) -> list[Socket]:
    """Without sockets whose widgets are gone, save each behind one that went: the editor steps over it."""
    names = {widget.name for widget in one.widgets}
    kept: list[Socket] = []
    stepped_over = False
    for socket in one.sockets:
        orphan = socket.widget is not None and socket.widget not in names
        if not orphan or stepped_over:
            kept.append(socket)
        stepped_over = orphan and not stepped_over
    return kept


def _mended(node: Node, widgets: Iterable[Widget]) -> None:
    """What the editor mends in old files: names of samplers, combos without a value."""
    for widget in widgets:
        if widget.name == "sampler_name" and node.type in {"KSampler", "KSamplerAdvanced"}:
            widget.value = _unprefixed(widget.value)
        choices = widget.options.get("values") if widget.kind == "COMBO" else None
        if choices and widget.value is None:
            widget.value = choices[0]


def _unprefixed(value: Any) -> Any:
    return value.removeprefix("sample_") if isinstance(value, str) else value


def _attach(scene: Scene) -> None:
    """A link feeds the socket of the name that the file has for it; one that has none, that of its number."""
    loose: list[Link] = []
    named = {(node.id, slot.link): slot.name for node in scene.sheet.nodes for slot in reversed(node.inputs)}
    for link in scene.links.values():
        target = scene.nodes.get(link.target)
        if target is None:
            continue
        name = named.get((link.target, link.id))
        socket = next((one for one in target.sockets if one.name == name and one.link is None), None)
        if name is None:
            loose.append(link)
        elif socket is not None:
            socket.link = link
    for link in loose:
        _attach_loose(scene.nodes[link.target], link)


def _attach_loose(target: Placed, link: Link) -> None:
    if 0 <= link.target_slot < len(target.sockets) and target.sockets[link.target_slot].link is None:
        target.sockets[link.target_slot].link = link
