"""One request becomes many: a list, a grid over parameters, or many pictures; counted before it is expanded."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from atelier.comfy.catalog import as_list, as_object
from atelier.intake.asking import Asked
from atelier.kit.errors import Kind, Refusal

COMMON = ("prompt", "negative_prompt", "seed", "input_image", "input_images", "mask")
"""What an item, or an axis of a grid, may say by the names that all workflows share."""

MOST_AXES = 16


class InvalidBatch(Refusal):
    """What was said is no batch: nothing of it was begun."""

    code: ClassVar[str] = "invalid_batch"


class BatchTooLarge(Refusal):
    """More jobs than one request may make. `details`: `items` and `limit`."""

    kind: ClassVar[Kind] = Kind.INVALID
    code: ClassVar[str] = "batch_too_large"

    def __init__(self, items: int, limit: int) -> None:
        told = f"A batch of {items} items is too large; {limit} may come at once. Send several."
        super().__init__(told, details={"items": items, "limit": limit})


@dataclass(frozen=True, slots=True)
class ItemAsked:
    """What one item says beside, or instead of, what is said for all."""

    beside: Mapping[str, Any] = field(default_factory=dict[str, Any])
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Listed:
    """Items that were spelled out; each is still JSON."""

    items: Sequence[object]

    @property
    def count(self) -> int:
        return len(self.items)


@dataclass(frozen=True, slots=True)
class Grid:
    """Every combination of these values: the last axis changes fastest, as in nested loops in this order."""

    axes: Mapping[str, Sequence[Any]]

    @property
    def count(self) -> int:
        return math.prod(len(values) for values in self.axes.values())


@dataclass(frozen=True, slots=True)
class Pictures:
    """One job for each picture."""

    pictures: Sequence[object]

    @property
    def count(self) -> int:
        return len(self.pictures)


Form = Listed | Grid | Pictures


def form_of(body: Mapping[str, Any]) -> Form:
    """What kind of batch this is: its lists are looked at, not yet what is in them. Raises InvalidBatch."""
    said = [name for name in ("items", "grid", "input_images") if body.get(name) is not None]
    match said:
        case ["items"]:
            return Listed(_list(body["items"], "items"))
        case ["grid"]:
            return Grid(_axes(body["grid"]))
        case ["input_images"]:
            return Pictures(_list(body["input_images"], "input_images"))
        case _:
            raise InvalidBatch("Say exactly one of items, grid and input_images.")


def check_size(form: Form, limit: int) -> None:
    """Raises BatchTooLarge. Nothing has been expanded yet."""
    if form.count > limit:
        raise BatchTooLarge(form.count, limit)


def expanded(form: Form) -> Iterator[ItemAsked | InvalidBatch]:
    """One after the other, in the order of their places; one that cannot be read is the refusal that it meets."""
    match form:
        case Listed(items):
            yield from map(_item, items)
        case Grid(axes):
            for values in itertools.product(*axes.values()):
                yield _placed(dict(zip(axes, values, strict=True)))
        case Pictures(pictures):
            for picture in pictures:
                yield ItemAsked({"input_image": picture})


def merged(base: Asked, item: ItemAsked) -> Asked:
    """What an item says goes before what is said for all, wherever either says it."""
    own = {*item.beside, *item.params}
    return replace(
        base,
        beside={name: value for name, value in base.beside.items() if name not in own} | dict(item.beside),
        params={name: value for name, value in base.params.items() if name not in own} | dict(item.params),
    )


def _item(said: object) -> ItemAsked | InvalidBatch:
    members = as_object(said)
    if members is None:
        return InvalidBatch('An item must be an object: {"params": {…}}, and the common names beside it.')
    params = as_object(members.get("params") or {})
    if params is None:
        return InvalidBatch("params of an item must be an object.")
    if unknown := sorted(members.keys() - {*COMMON, "params"}):
        return InvalidBatch(f"An item says params, and {', '.join(COMMON)}; {unknown[0][:60]!r} is none of them.")
    return ItemAsked({name: members[name] for name in COMMON if name in members}, params)


def _placed(values: Mapping[str, Any]) -> ItemAsked:
    return ItemAsked(
        {name: value for name, value in values.items() if name in COMMON},
        {name: value for name, value in values.items() if name not in COMMON},
    )


def _list(said: object, name: str) -> Sequence[object]:
    found = as_list(said)
    if not found:
        raise InvalidBatch(f"{name} must be a list of one at least.")
    return found


def _axes(said: object) -> Mapping[str, Sequence[Any]]:
    axes = as_object(said)
    if not axes:
        raise InvalidBatch('grid must be an object like {"steps": [10, 20], "cfg": [3, 5]}.')
    if len(axes) > MOST_AXES:
        raise InvalidBatch(f"A grid has {MOST_AXES} axes at most.")
    return {name: _list(values, f"grid.{name[:60]}") for name, values in axes.items()}
