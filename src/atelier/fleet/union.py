"""The fleet's node catalogue is what any of its servers can run, in the shapes of one ComfyUI.

Of a class that servers describe differently the most complete description is taken, of equally complete ones that
of the newest ComfyUI, else the first; it is taken whole, but its choices are those of all servers. What is not a
plain list of choices (dynamic combos, remote ones) stays as that one server says it. Shapes: contract, section 11.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from atelier.comfy.catalog import as_list, as_object

GROUPS = ("required", "optional")
COMBO = "COMBO"


@dataclass(frozen=True, slots=True)
class Told:
    """What one server says of its nodes (/object_info), and how new its ComfyUI is: `(0, 3, 64)`."""

    classes: Mapping[str, Any] = field(repr=False)
    version: tuple[int, ...] = ()


def union(servers: Sequence[Told]) -> dict[str, Any]:
    """All classes: those of the first server in its order, then what each other one adds in its own."""
    names = dict.fromkeys(name for server in servers for name in server.classes)
    return {name: _class([one for one in servers if name in one.classes], name) for name in names}


def ordered(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same class with its inputs in the order that it declares (`input_order`), which some stores forget."""
    orders = as_object(entry.get("input_order")) or {}
    groups = as_object(entry.get("input")) or {}
    if not orders:
        return entry
    return {**entry, "input": {group: _in_order(body, orders.get(group)) for group, body in groups.items()}}


def version_of(text: str) -> tuple[int, ...]:
    """`0.3.64` as it sorts; anything else is older than every version."""
    parts = text.removeprefix("v").partition("+")[0].partition("-")[0].split(".")
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


def choices_of(spec: object) -> list[Any] | None:
    """The choices of a combo, `[[…], {}]` or `["COMBO", {"options": […]}]`; None for what is none."""
    kind, options = _halves(spec)
    return as_list((options or {}).get("options")) if kind == COMBO else as_list(kind)


def with_choices(spec: object, choices: Sequence[Any]) -> Any:
    """The same combo, in its own form, with these choices."""
    kind, options = _halves(spec)
    rest = (as_list(spec) or [])[1:]
    if kind == COMBO:
        return [COMBO, {**(options or {}), "options": list(choices)}, *rest[1:]]
    return [list(choices), *rest]


def _class(servers: Sequence[Told], name: str) -> Any:
    """The first of the best; `max` keeps it."""
    best = max(servers, key=lambda one: (_width(one.classes[name]), one.version))
    base = as_object(best.classes[name])
    others = [one.classes[name] for one in servers if one is not best and one.classes[name] != base]
    if base is None or not others:
        return best.classes[name]
    in_order = [one.classes[name] for one in servers]
    groups = as_object(base.get("input")) or {}
    merged = {group: _group(group, body, in_order) for group, body in groups.items()}
    return {**base, "input": merged} if merged != groups else base


def _group(group: str, body: object, entries: Sequence[object]) -> object:
    inputs = as_object(body)
    if inputs is None or group not in GROUPS:
        return body
    return {name: _merged(name, spec, entries) for name, spec in inputs.items()}


def _merged(name: str, spec: object, entries: Sequence[object]) -> object:
    mine = choices_of(spec)
    if mine is None:
        return spec
    told = [choices for entry in entries if (choices := choices_of(_input(entry, name))) is not None]
    choices = _distinct(told)
    return spec if len(choices) == len(mine) and choices == mine else with_choices(spec, choices)


def _distinct(lists: Iterable[Sequence[Any]]) -> list[Any]:
    """Values of custom nodes may be anything, and `True == 1`: they are compared as JSON spells them."""
    found: dict[str, Any] = {}
    for choices in lists:
        for choice in choices:
            found.setdefault(_key(choice), choice)
    return list(found.values())


def _key(choice: object) -> str:
    return f'"{choice}' if isinstance(choice, str) else json.dumps(choice, sort_keys=True)


def _input(entry: object, name: str) -> object:
    """An input that one version requires may be optional in another."""
    groups = as_object((as_object(entry) or {}).get("input")) or {}
    bodies = (as_object(groups.get(group)) or {} for group in GROUPS)
    return next((body[name] for body in bodies if name in body), None)


def _width(entry: object) -> int:
    """How many inputs a class declares."""
    groups = as_object((as_object(entry) or {}).get("input")) or {}
    return sum(len(as_object(groups.get(group)) or {}) for group in GROUPS)


def _halves(spec: object) -> tuple[Any, dict[str, Any] | None]:
    pair = as_list(spec) or [None]
    return pair[0], as_object(pair[1]) if len(pair) > 1 else None


def _in_order(body: object, order: object) -> object:
    inputs, names = as_object(body), as_list(order)
    if inputs is None or names is None:
        return body
    known = [name for name in names if isinstance(name, str) and name in inputs]
    return {name: inputs[name] for name in dict.fromkeys((*known, *inputs))}
