"""A value fits its parameter, or it is said in words why not and what would.

Numbers with a step are brought to the nearest one, counted from the least value: what a slider shows is what is
used. Nothing else is corrected: a value out of its bounds is refused.
"""

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from atelier.comfy.bounds import LARGEST_INT, SMALLEST_INT
from atelier.comfy.catalog import as_list, as_object
from atelier.comfy.prefixes import stays_inside
from atelier.fleet.requirements import nearest
from atelier.kit.ids import parse_uuid
from atelier.workflows.model import Kind, Parameter, Strength

Models = Callable[[str], Collection[str]]
"""The files of a model folder, over the whole fleet; none of them: nobody knows yet."""

LARGEST_SEED = 2**31 - 1
LONGEST = {Kind.STRING: 1_000, Kind.TEXT: 20_000}
"""Characters, unless the manifest says otherwise."""
MOST = {Kind.LORAS: 4, Kind.IMAGES: 10}
"""Entries of a list, unless the manifest says otherwise."""
LONGEST_FILE = 400
MOST_ALLOWED = 100
"""Values that one error lists."""
EXACT = 2**53

_SIZE = re.compile(r"\s*([0-9]{1,5})\s*[xX*\u00d7]\s*([0-9]{1,5})\s*")
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


class Unfit(ValueError):  # noqa: N818 - it is caught where it is raised from, and told as data
    """A value that does not fit. `more` is for programs: `min`, `max`, `allowed`, `nearest`."""

    def __init__(self, message: str, **more: Any) -> None:
        super().__init__(message)
        self.message = message
        self.more = more


def understood(parameter: Parameter, said: object, models: Models | None = None) -> Any:
    """The value as it will be used, plain JSON. Raises Unfit. A seed of -1 stays one."""
    return _READERS[parameter.kind](parameter, said, models)


def strength(bounds: Strength, said: object) -> float:
    """Raises Unfit."""
    least, most = bounds.minimum, bounds.maximum
    return float(_within(_finite(said, least, most), least, most, bounds.step))


def bounds(parameter: Parameter) -> tuple[float | None, float | None]:
    """The least and the most of it, with those that every parameter of its kind has."""
    match parameter.kind:
        case Kind.SEED:
            usual: tuple[float | None, float | None] = (-1, LARGEST_SEED)
        case Kind.STRING | Kind.TEXT:
            usual = (1 if parameter.required else None, LONGEST[parameter.kind])
        case Kind.LORAS | Kind.IMAGES:
            usual = (1 if parameter.required else 0, MOST[parameter.kind])
        case _:
            usual = (None, None)
    least, most = parameter.minimum, parameter.maximum
    return usual[0] if least is None else least, usual[1] if most is None else most


def told(parameter: Parameter) -> dict[str, Any]:
    """Its bounds as an error tells them to programs."""
    least, most = bounds(parameter)
    choices = [choice.value for choice in parameter.choices][:MOST_ALLOWED]
    found = {"type": parameter.kind.value, "min": least, "max": most, "step": parameter.step}
    return {name: value for name, value in found.items() if value is not None} | (
        {"allowed": choices} if choices else {}
    )


def pixels(parameter: Parameter, value: str) -> tuple[int, int]:
    """Width and height that an aspect ratio, as `understood` gave it, stands for."""
    for choice in parameter.choices:
        if choice.value == value:
            return choice.width, choice.height
    width, _, height = value.partition("x")
    return int(width), int(height)


def snapped(value: float, least: float | None, most: float | None, step: float) -> float:
    """The nearest step counted from `least` (else from 0) that is not above `most`; of two, the upper."""
    if abs(value / step) > EXACT:
        return value
    base, width = Decimal(str(least or 0)), Decimal(str(step))
    count = ((Decimal(str(value)) - base) / width).to_integral_value(ROUND_HALF_UP)
    found = base + count * width
    if most is not None and found > Decimal(str(most)):
        found -= width
    return float(found)


def shown(value: object) -> str:
    """What was said, as an error may repeat it."""
    if isinstance(value, dict | list | tuple):
        return "an object" if isinstance(value, dict) else "a list"
    text = json.dumps(value, default=repr, ensure_ascii=False).encode(errors="replace").decode()
    return text if len(text) <= 80 else f"{text[:80]}…"


def _integer(parameter: Parameter, said: object, _models: Models | None) -> int:
    least, most = bounds(parameter)
    least, most = SMALLEST_INT if least is None else least, LARGEST_INT if most is None else most
    return int(_within(_whole(said, least, most), least, most, parameter.step))


def _float(parameter: Parameter, said: object, _models: Models | None) -> float:
    least, most = bounds(parameter)
    return float(_within(_finite(said, least, most), least, most, parameter.step))


def _bool(_parameter: Parameter, said: object, _models: Models | None) -> bool:
    if not isinstance(said, bool):
        raise Unfit(f"must be true or false, not {shown(said)}", allowed=[True, False])
    return said


def _text(parameter: Parameter, said: object, _models: Models | None) -> str:
    text = _storable(said)
    least, most = bounds(parameter)
    if parameter.kind is Kind.STRING and ("\n" in text or "\r" in text):
        raise Unfit("must be one line")
    if least and not text.strip():
        raise Unfit("must not be empty", min=least, max=most)
    if not (least or 0) <= len(text) <= (most if most is not None else LONGEST[Kind.TEXT]):
        raise Unfit(f"has {len(text)} characters; {_range(least, most)} are allowed", min=least, max=most)
    return text


def _choice(parameter: Parameter, said: object, _models: Models | None) -> str:
    allowed = [choice.value for choice in parameter.choices]
    if said not in allowed or not isinstance(said, str):
        raise _not_among(said, allowed)
    return said


def _asset(_parameter: Parameter, said: object, _models: Models | None) -> str:
    asset_id = parse_uuid(str(said).lower()) if isinstance(said, str) or hasattr(said, "hex") else None
    if asset_id is None:
        raise Unfit(f"must be the id of an asset, not {shown(said)}")
    return str(asset_id)


def _assets(parameter: Parameter, said: object, models: Models | None) -> list[str]:
    several = as_list(said)
    found = [_nth(place, _asset, parameter, one, models) for place, one in enumerate(several or [said])]
    if several == []:
        found = []
    _check_count(parameter, len(found), "pictures")
    return found


def _model(parameter: Parameter, said: object, models: Models | None) -> str:
    if parameter.choices:
        return _choice(parameter, said, models)
    return _file(parameter.folder, said, models)


def _loras(parameter: Parameter, said: object, models: Models | None) -> list[dict[str, Any]]:
    several = as_list(said)
    if several is None:
        raise Unfit(f'must be a list like [{{"name": "x.safetensors", "strength": 1}}], not {shown(said)}')
    _check_count(parameter, len(several), "LoRAs")
    return [_nth(place, _lora, parameter, one, models) for place, one in enumerate(several)]


def _lora(parameter: Parameter, said: object, models: Models | None) -> dict[str, Any]:
    table = {"name": said} if isinstance(said, str) else as_object(said)
    if table is None or "name" not in table or not table.keys() <= {"name", "strength"}:
        raise Unfit(f'must be a file\'s name or {{"name": …, "strength": …}}, not {shown(said)}')
    asked = table.get("strength")
    try:
        strong = parameter.strength.default if asked is None else strength(parameter.strength, asked)
    except Unfit as unfit:
        raise Unfit(f"strength {unfit.message}", **unfit.more) from None
    return {"name": _file(parameter.folder, table["name"], models), "strength": strong}


def _aspect(parameter: Parameter, said: object, _models: Models | None) -> str:
    if isinstance(said, str) and any(choice.value == said for choice in parameter.choices):
        return said
    sides = _sides(said)
    tiles = [choice.value for choice in parameter.choices]
    if sides is None or parameter.minimum is None or parameter.maximum is None:
        raise _not_among(said, tiles, *(() if parameter.minimum is None else ("or a size like 1024x768",)))
    width, height = (_side(parameter, side, name) for side, name in zip(sides, ("width", "height"), strict=True))
    return f"{width}x{height}"


def _side(parameter: Parameter, said: object, name: str) -> int:
    try:
        least, most = parameter.minimum, parameter.maximum
        return int(_within(_whole(said, least, most), least, most, parameter.step))
    except Unfit as unfit:
        raise Unfit(f"{name} {unfit.message}", **unfit.more) from None


def _sides(said: object) -> tuple[object, object] | None:
    if isinstance(said, str):
        found = _SIZE.fullmatch(said)
        return (int(found[1]), int(found[2])) if found else None
    table = as_object(said) or {}
    return (table["width"], table["height"]) if table.keys() == {"width", "height"} else None


def _file(folder: str, said: object, models: Models | None) -> str:
    name = _storable(said)
    if not name.strip() or len(name) > LONGEST_FILE or not stays_inside(name):
        raise Unfit(f"must be the name of a model file, not {shown(name)}")
    known = models(folder) if models else ()
    if known and name not in known:
        near = nearest(name, known)
        perhaps = f"; did you mean {' or '.join(near)}?" if near else ""
        raise Unfit(f"no server has {shown(name)} in {folder}{perhaps}", nearest=near)
    return name


def _nth(
    place: int,
    read: Callable[[Parameter, object, Models | None], Any],
    parameter: Parameter,
    said: object,
    models: Models | None,
) -> Any:
    try:
        return read(parameter, said, models)
    except Unfit as unfit:
        raise Unfit(f"[{place}] {unfit.message}", **unfit.more) from None


def _check_count(parameter: Parameter, count: int, things: str) -> None:
    least, most = bounds(parameter)
    if not (least or 0) <= count <= (most or 0):
        raise Unfit(f"names {count} {things}; {_range(least, most)} are allowed", min=least, max=most)


def _storable(said: object) -> str:
    if not isinstance(said, str):
        raise Unfit(f"must be a text, not {shown(said)}")
    if "\0" in said or _HALF_A_PAIR.search(said):
        raise Unfit("must not hold NUL or half a surrogate pair")
    return said


def _whole(said: object, least: float | None, most: float | None) -> int:
    """20.0 is 20: JSON of some languages writes every number with a point."""
    match said:
        case int() if not isinstance(said, bool):
            return said
        case float() if said.is_integer() and abs(said) < EXACT:
            return int(said)
        case _:
            what = f"must be a whole number {_range(least, most)}, not {shown(said)}"
            raise Unfit(what, min=least, max=most)


def _finite(said: object, least: float | None, most: float | None) -> float:
    match said:
        case int() if not isinstance(said, bool) and abs(said) <= LARGEST_INT:
            return float(said)
        case float() if math.isfinite(said):
            return said
        case _:
            what = f"must be a finite number {_range(least, most)}, not {shown(said)}".replace("  ", " ")
            raise Unfit(what, min=least, max=most)


def _within(value: float, least: float | None, most: float | None, step: float | None) -> float:
    if (least is not None and value < least) or (most is not None and value > most):
        raise Unfit(f"must be {_range(least, most)}, not {shown(value)}", min=least, max=most)
    return snapped(value, least, most, step) if step else value


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f"at most {most}"
    return f"at least {least}" if most is None else f"from {least} to {most}"


def _not_among(said: object, allowed: Collection[str], *more: str) -> Unfit:
    listed = ", ".join([*list(allowed)[:MOST_ALLOWED], *more])
    near = nearest(said, allowed) if isinstance(said, str) else []
    return Unfit(f"must be one of {listed}, not {shown(said)}", allowed=list(allowed)[:MOST_ALLOWED], nearest=near)


_READERS: Final[Mapping[Kind, Callable[[Parameter, object, Models | None], Any]]] = {
    Kind.INT: _integer,
    Kind.FLOAT: _float,
    Kind.STRING: _text,
    Kind.TEXT: _text,
    Kind.BOOL: _bool,
    Kind.ENUM: _choice,
    Kind.IMAGE: _asset,
    Kind.MASK: _asset,
    Kind.IMAGES: _assets,
    Kind.MODEL: _model,
    Kind.LORAS: _loras,
    Kind.SEED: _integer,
    Kind.ASPECT_RATIO: _aspect,
}
