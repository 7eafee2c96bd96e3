"""Widgets that a subgraph shows outside: each instance has its own values of them.

A promoted widget belongs to an input of the subgraph that feeds a widget inside. Older files name promoted widgets
in `properties.proxyWidgets` instead; these become inputs as the editor makes them. Source: SubgraphNode and
proxyWidgetMigration of the editor.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from atelier.comfy.catalog import as_list, as_object
from atelier.workflows.converting.exported import INPUTS_ID, Link
from atelier.workflows.converting.scene import MISSING, PRIMITIVE, Gate, Placed, Scene, Socket, Widget

MOST_DEEP = 100
MOST_ENTRIES = 200
SELF = "-1"
"""In proxyWidgets: an input of the instance itself."""

PREFIX = re.compile(r"^\s*(\d+)\s*:\s*(\S.*)$")


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of proxyWidgets; `value` MISSING: the instance keeps none."""

    node: str
    widget: str
    below: str | None
    value: Any


def instance_configured(host: Placed) -> None:
    """The instance shows the widgets of its subgraph, with the values that it keeps, in the order of inputs."""
    if host.inside is None:
        return
    for slot in range(len(host.inside.inputs)):
        show(host, slot)
    kept = _quarantined(host)
    values = _values(host)
    for place, slot in enumerate(sorted(host.promoted)):
        value = values[place] if place < len(values) else MISSING
        _valued(host, slot, kept.get(host.sockets[slot].name, value))


def _quarantined(host: Placed) -> dict[str, Any]:
    """Values that the editor could not place when it made inputs of proxyWidgets, by the names of inputs."""
    raw = host.node.properties.get("proxyWidgetErrorQuarantine")
    found: dict[str, Any] = {}
    for row in as_list(raw) or []:
        entry = as_object(row) or {}
        match as_list(entry.get("originalEntry")):
            case ["-1", str(name), *_] if "hostValue" in entry:
                found.setdefault(name, entry["hostValue"])
            case _:
                pass
    return found


def show(host: Placed, slot: int) -> None:
    """The input shows the first widget that it feeds, if it feeds one."""
    source = None if host.inside is None else shown(host.inside, host.inside.inputs[slot])
    if source is not None:
        host.promoted[slot] = replace(source, name=host.sockets[slot].name)
        host.sockets[slot].widget = host.sockets[slot].name


def shown(inside: Scene, gate: Gate) -> Widget | None:
    found = (_widget_fed(inside, link) for link in gate.links)
    return next((one for one in found if one is not None), None)


def _widget_fed(inside: Scene, link: int) -> Widget | None:
    fed = inside.fed_by(link)
    return fed[0].widget_at(fed[1]) if fed else None


def promotions_migrated(host: Placed) -> None:
    """What proxyWidgets names and no input shows becomes an input; values are kept by their places there."""
    entries = [_normal(host, one) for one in _entries(host)]
    primitives: dict[str, list[Entry]] = {}
    for one in entries:
        slot = _called(host, one.widget) if one.node == SELF else _showing(host, one)
        source = host.inside.nodes.get(one.node) if host.inside else None
        if slot is not None:
            _valued(host, slot, one.value)
        elif source is not None and source.node.type == PRIMITIVE:
            primitives.setdefault(one.node, []).append(one)
        elif source is not None:
            _promoted(host, source, one)
    for rows in primitives.values():
        _primitive_promoted(host, rows)


def _values(host: Placed) -> Sequence[Any]:
    return [] if isinstance(host.node.values, Mapping) else host.node.values


def _entries(host: Placed) -> list[Entry]:
    """Rows `[node, widget]` or `[node, widget, node further inside]`; one bad row spoils all, as in the editor."""
    raw = host.node.properties.get("proxyWidgets")
    if isinstance(raw, str):
        raw = _parsed(raw)
    rows = [as_list(one) or [] for one in (as_list(raw) or [])[:MOST_ENTRIES]]
    if any(len(row) not in {2, 3} or not all(isinstance(part, str) for part in row) for row in rows):
        return []
    values = _values(host)
    return [
        Entry(row[0], row[1], row[2] if len(row) > 2 else None, values[at] if at < len(values) else MISSING)
        for at, row in enumerate(rows)
    ]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _normal(host: Placed, one: Entry) -> Entry:
    """Names of some versions begin with ids of nodes: `12: text`."""
    if _resolves(host, one.node, one.widget):
        return one
    name, deepest = one.widget, one.below
    while found := PREFIX.match(name):
        deepest, name = found[1], found[2]
    return replace(one, widget=name, below=deepest)


def _resolves(host: Placed, node: str, widget: str) -> bool:
    """Whether there is such a widget, however far inside."""
    current = host
    for _ in range(MOST_DEEP):
        source = current.inside.nodes.get(node) if current.inside else None
        if source is None:
            return False
        if source.inside is None:
            return source.widget(widget) is not None
        target = _target(source, widget)
        if target is None:
            return False
        current, (node, widget) = source, target
    return False


def _target(host: Placed, name: str) -> tuple[str, str] | None:
    """What an instance's input of this name feeds first: a node inside, and its widget (or input)."""
    inside = host.inside
    gate = next((one for one in inside.inputs if one.name == name), None) if inside else None
    return _first_fed(inside, gate) if inside is not None and gate is not None else None


def _first_fed(inside: Scene, gate: Gate) -> tuple[str, str] | None:
    for link in gate.links:
        fed = inside.fed_by(link)
        if fed is None:
            continue
        node, slot = fed
        if node.inside is not None:
            return node.id, node.sockets[slot].name
        widget = node.widget_at(slot)
        if widget is not None:
            return node.id, widget.name
    return None


def _showing(host: Placed, one: Entry) -> int | None:
    """The instance's input that shows this widget already."""
    gates = host.inside.inputs if host.inside else []
    inside = host.inside
    found = (at for at, gate in enumerate(gates) if inside and _first_fed(inside, gate) == (one.node, one.widget))
    return next(found, None)


def _called(host: Placed, name: str) -> int | None:
    return next((slot for slot, socket in enumerate(host.sockets) if socket.name == name), None)


def _valued(host: Placed, slot: int, value: Any) -> None:
    widget = host.promoted.get(slot)
    if widget is not None and value is not MISSING:
        widget.value = value


def _promoted(host: Placed, source: Placed, one: Entry) -> None:
    socket = _socket_of(source, one)
    if host.inside is None or socket is None or one.widget.startswith("$$"):
        return
    slot = _gated(host.inside, one.widget, source.sockets[socket].type)
    _linked(host.inside, slot, source, socket)
    _shown_everywhere(host.inside, slot)
    _valued(host, slot, one.value)


def _socket_of(source: Placed, one: Entry) -> int | None:
    for slot, socket in enumerate(source.sockets):
        if source.inside is None:
            if socket.widget == one.widget and source.widget(one.widget) is not None:
                return slot
        elif slot in source.promoted and _names(source, socket, one):
            return slot
    return None


def _names(source: Placed, socket: Socket, one: Entry) -> bool:
    target = _target(source, socket.name)
    if one.below:
        return target == (one.below, one.widget)
    return socket.name == one.widget or (target is not None and target[1] == one.widget)


def _primitive_promoted(host: Placed, rows: Sequence[Entry]) -> None:
    """A primitive that was shown outside vanishes: what it fed is fed by the new input."""
    inside = host.inside
    primitive = inside.nodes.get(rows[0].node) if inside else None
    if inside is None or primitive is None or any(one.widget != rows[0].widget for one in rows):
        return
    targets = inside.fed_from(primitive, 0)
    if not targets:
        return
    title = primitive.node.title
    name = title if title and title != PRIMITIVE else rows[0].widget
    slot = _gated(inside, name, primitive.outputs[0] if primitive.outputs else "*")
    for target, socket in targets:
        _linked(inside, slot, target, socket)
    _shown_everywhere(inside, slot)
    values = [one.value for one in rows if one.value is not MISSING]
    _valued(host, slot, values[0] if values else MISSING)


def _gated(inside: Scene, name: str, kind: str) -> int:
    """A new input of the subgraph, of a name that no other has."""
    taken = {gate.name for gate in inside.inputs}
    number, unique = 0, name
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    inside.inputs.append(Gate(unique, kind, []))
    for instance in inside.instances:
        instance.sockets.append(Socket(unique, kind))
    return len(inside.inputs) - 1


def _linked(inside: Scene, slot: int, target: Placed, socket: int) -> None:
    """What fed the socket before feeds it no more."""
    old = target.sockets[socket].link
    if old is not None:
        inside.drop(old.id)
    link = Link(max(inside.links, default=0) + 1, INPUTS_ID, slot, target.id, socket)
    inside.add(link)
    inside.inputs[slot].links.append(link.id)
    target.sockets[socket].link = link


def _shown_everywhere(inside: Scene, slot: int) -> None:
    for instance in inside.instances:
        show(instance, slot)
