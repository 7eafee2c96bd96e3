"""A node's sockets and widgets are laid out as the editor does it, also those that come and go with a choice."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.comfy.catalog import InputSpec, as_list, as_object
from atelier.workflows.converting.classes import NodeClass
from atelier.workflows.converting.exported import type_text
from atelier.workflows.converting.scene import Socket, Widget
from atelier.workflows.converting.widgets import (
    AUTOGROW,
    MATCH_TYPE,
    is_widget,
    kind_of,
    made,
)

MOST_GROWN = 300
ORDINAL = re.compile(r"(?<!\d)(\d{1,4})$")


@dataclass(frozen=True, slots=True)
class Growing:
    """A group of inputs that grows as they are fed (COMFY_AUTOGROW_V3): `images.image0` and so on."""

    name: str
    specs: tuple[InputSpec, ...]
    names: tuple[str, ...]
    prefix: str
    least: int
    most: int

    def called(self, ordinal: int, key: str) -> str:
        if self.names:
            return f"{self.name}.{self.names[ordinal]}"
        return f"{self.name}.{self.prefix if len(self.specs) == 1 else key}{ordinal}"

    def ordinal(self, name: str) -> int | None:
        """Which one this is, counted from 0; None: none of it."""
        if not name.startswith(f"{self.name}."):
            return None
        rest = name[len(self.name) + 1 :]
        if self.names:
            return self.names.index(rest) if rest in self.names else None
        found = ORDINAL.search(rest)
        return int(found[1]) if found and "." not in rest else None


@dataclass(slots=True)
class Drawn:
    """A node while it is laid out. `growing` are its groups that grow, by name."""

    sockets: list[Socket]
    widgets: list[Widget]
    growing: dict[str, Growing]

    def socket(self, name: str) -> Socket | None:
        return next((one for one in self.sockets if one.name == name), None)


def drawn(node_class: NodeClass) -> Drawn:
    """The node as it comes out of the menu: sockets first, then widgets, each with a socket of its own."""
    one = Drawn([], [], {})
    for spec in node_class.inputs:
        _add_socket(one, spec)
    for spec in node_class.inputs:
        _add_widget(one, spec)
    return one


def chosen(one: Drawn, widget: Widget) -> None:
    """What the choice of a dynamic combo brings stands behind it; what another choice brought is gone."""
    prefix = f"{widget.name}."
    one.widgets[:] = [other for other in one.widgets if not other.name.startswith(prefix)]
    one.sockets[:] = [other for other in one.sockets if not other.name.startswith(prefix)]
    one.growing = {name: group for name, group in one.growing.items() if not name.startswith(prefix)}
    inputs = as_object(widget.options["inputs"].get(widget.value)) if isinstance(widget.value, str) else None
    brought = Drawn([], [], {})
    for spec in _specs(inputs or {}, prefix):
        _add_socket(brought, spec)
        _add_widget(brought, spec)
    one.growing |= brought.growing
    _insert(one.widgets, brought.widgets, widget.name)
    _insert(one.sockets, brought.sockets, widget.name)


def counted(one: Drawn, widget: Widget) -> None:
    """A group of rows (COMFY_DYNAMICGROUP_V3) has as many as its number says: `name.0.field` and so on."""
    prefix = f"{widget.name}."
    one.widgets[:] = [other for other in one.widgets if not other.name.startswith(prefix)]
    one.sockets[:] = [other for other in one.sockets if not other.name.startswith(prefix)]
    brought = Drawn([], [], {})
    rows = widget.value if isinstance(widget.value, int) and not isinstance(widget.value, bool) else 0
    for row in range(min(max(rows, widget.options["min"]), widget.options["max"])):
        for spec in _specs(widget.options["template"], f"{prefix}{row}."):
            _add_socket(brought, spec)
            _add_widget(brought, spec)
    _insert(one.widgets, brought.widgets, widget.name)
    one.sockets += brought.sockets


def grown(one: Drawn, names: Iterable[str]) -> None:
    """A group has one input more than the last that is fed."""
    fed = list(names)
    for group in list(one.growing.values()):
        last = max((at for name in fed if (at := group.ordinal(name)) is not None), default=-1)
        for number in range(min(last + 2, group.most, MOST_GROWN) if last >= 0 else 0):
            _add_grown(one, group, number)


def _insert(into: list[Any], new: Sequence[Any], behind: str) -> None:
    place = next((at for at, other in enumerate(into) if other.name == behind), len(into) - 1) + 1
    into[place:place] = new


def _specs(groups: Mapping[str, Any], prefix: str) -> list[InputSpec]:
    """The inputs of a choice or a template, grouped as those of a node are."""
    return [
        _spec(prefix + key, raw, required=group == "required")
        for group in ("required", "optional")
        for key, raw in (as_object(groups.get(group)) or {}).items()
    ]


def _spec(name: str, raw: object, *, required: bool) -> InputSpec:
    pair = as_list(raw) or ["*"]
    options = as_object(pair[1]) if len(pair) > 1 else None
    return InputSpec(name, pair[0], options or {}, required)


def _add_socket(one: Drawn, spec: InputSpec) -> None:
    if is_widget(spec):
        return
    match kind_of(spec):
        case "COMFY_AUTOGROW_V3":
            _start_growing(one, spec)
        case "COMFY_MATCHTYPE_V3":
            one.sockets.append(Socket(spec.name, _allowed(spec)))
        case _:
            one.sockets.append(Socket(spec.name, type_text(spec.type)))


def _allowed(spec: InputSpec) -> str:
    return type_text((as_object(spec.options.get("template")) or {}).get("allowed_types"))


def _add_widget(one: Drawn, spec: InputSpec) -> None:
    if kind_of(spec) in {AUTOGROW, MATCH_TYPE} or not is_widget(spec):
        return
    new = made(spec)
    one.widgets += new
    if new[0].kind == "rows":
        counted(one, new[0])
        return
    one.sockets.append(Socket(spec.name, type_text(spec.type), spec.name))
    if new[0].kind == "dynamic":
        chosen(one, new[0])


def _start_growing(one: Drawn, spec: InputSpec) -> None:
    template = as_object(spec.options.get("template")) or {}
    names = tuple(str(name) for name in as_list(template.get("names")) or [])
    least, most = _count(template.get("min"), 1), _count(template.get("max"), 100)
    specs = tuple(_specs(as_object(template.get("input")) or {}, ""))
    if not specs:
        return
    prefix = template.get("prefix")
    group = Growing(
        spec.name, specs, names, prefix if isinstance(prefix, str) else "", least, len(names) if names else most
    )
    one.growing[spec.name] = group
    for ordinal in range(min(max(1, least + 1), group.most, MOST_GROWN)):
        _add_grown(one, group, ordinal)


def _add_grown(one: Drawn, group: Growing, ordinal: int) -> None:
    for spec in group.specs:
        name = group.called(ordinal, spec.name)
        if one.socket(name) is not None:
            continue
        new = Drawn([], [], {})
        named = InputSpec(name, spec.type, spec.options, spec.required)
        _add_socket(new, named)
        _add_widget(new, named)
        one.widgets += new.widgets
        place = max(
            (at for at, other in enumerate(one.sockets) if _of(group, other)), default=len(one.sockets) - 1
        )
        one.sockets[place + 1 : place + 1] = new.sockets


def _of(group: Growing, socket: Socket) -> bool:
    return socket.name.startswith(f"{group.name}.")


def _count(raw: object, default: int) -> int:
    return raw if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw <= MOST_GROWN else default
