"""What a manifest says of one parameter, read and judged by itself."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from atelier.comfy.catalog import as_object
from atelier.workflows import kinds
from atelier.workflows.fields import Table, spoken, table_of
from atelier.workflows.kinds import Unfit
from atelier.workflows.model import FILES, Binding, Chain, Choice, DependsOn, Kind, Parameter, Strength
from atelier.workflows.splicing import NUMBERED

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
PARTS: Mapping[Kind, frozenset[str]] = {
    Kind.ASPECT_RATIO: frozenset({"", "width", "height"}),
    Kind.LORAS: frozenset({"", "name", "strength"}),
}
"""What may be taken of a value; of all others the whole is."""
WITH_CHOICES = frozenset({Kind.ENUM, Kind.ASPECT_RATIO, Kind.MODEL})
WITH_FOLDER = frozenset({Kind.MODEL, Kind.LORAS})
WITH_BOUNDS = frozenset(Kind) - {Kind.BOOL, Kind.ENUM, Kind.IMAGE, Kind.MASK, Kind.MODEL}
WITH_STEP = frozenset({Kind.INT, Kind.FLOAT, Kind.ASPECT_RATIO})
WHOLE = frozenset({Kind.INT, Kind.SEED, Kind.STRING, Kind.TEXT, Kind.LORAS, Kind.IMAGES, Kind.ASPECT_RATIO})
"""Kinds whose bounds are whole numbers."""
COUNTED = frozenset({Kind.STRING, Kind.TEXT, Kind.LORAS, Kind.IMAGES})
"""Kinds whose bounds count characters or entries."""
LARGEST_SIDE = 16_384
"""Pixels: more than that is more than any node makes."""
MOST_CHARACTERS = 200_000
MOST_ENTRIES = 100


def parameter(name: str, table: Table, *, file: bool) -> Parameter:
    """The parameter that a table describes, `file`: it stands among the inputs. Faults are noted in the table."""
    if not NAME.fullmatch(name):
        table.notes.add(table.where, "its name must be small letters, digits and _, beginning with a letter")
    kind = _kind(table, file=file)
    made = Parameter(
        name=name,
        kind=kind,
        label=table.words("label", longest=100),
        help=table.words("help", longest=2_000),
        required=table.flag("required"),
        unit=table.text("unit", longest=20),
        group=table.text("group", longest=60),
        advanced=table.flag("advanced"),
        depends_on=_depends_on(table),
        bind=tuple(_bindings(table, kind)),
        **_of_kind(table, kind),
    )
    table.close()
    return made


def check_default(table: Table, made: Parameter) -> Any:
    """The default as it will be used; a fault where it does not fit the parameter's own bounds."""
    if not table.has("default"):
        return None
    if made.kind in FILES:
        table.fault("default", "a file has none: every account has its own")
        return None
    if made.required:
        table.fault("default", "is never used: the parameter is required")
    try:
        return _fitting(made, table.raw("default"))
    except Unfit as unfit:
        table.fault("default", unfit.message)
        return None


def shape_faults(made: Parameter) -> Iterator[tuple[str, str]]:
    """Lists are bound to numbered inputs, and nothing else is; the field and what is wrong with it."""
    listed = made.kind in {Kind.LORAS, Kind.IMAGES}
    for place, binding in enumerate(made.bind):
        is_numbered = NUMBERED.search(binding.input) is not None
        if listed and not is_numbered:
            yield f"bind[{place}].input", "must hold {n}, the place in the list, as in lora_{n:02}"
        if is_numbered and not listed:
            yield f"bind[{place}].input", f"holds {{n}}, and a {made.kind} is no list"
    if made.chain and made.bind:
        yield "chain", "stands beside bind: LoRAs go one way or the other"


def _fitting(made: Parameter, said: object) -> Any:
    found = kinds.understood(made, said)
    if isinstance(found, int | float) and found != said:
        raise Unfit(f"{said} is not on a step; {found} is")
    return found


def _kind(table: Table, *, file: bool) -> Kind:
    allowed = [kind.value for kind in Kind if not file or kind in FILES]
    return Kind(table.one_of("type", allowed, required=True) or allowed[0])


def _of_kind(table: Table, kind: Kind) -> dict[str, Any]:
    """The fields that only some kinds have. One that this kind has not is left unasked, and so noted."""
    found: dict[str, Any] = {}
    table.asked.add("default")
    if kind in WITH_BOUNDS:
        found["minimum"], found["maximum"] = _bounds(table, kind)
    if kind in WITH_STEP:
        found["step"] = _step(table, kind)
    if kind in WITH_CHOICES:
        found["choices"] = tuple(_choices(table, kind))
    if kind in WITH_FOLDER:
        found["folder"] = _folder(table, kind)
    if kind is Kind.LORAS:
        found["chain"] = _chain(table)
        found["strength"] = _strength(table)
    if kind is Kind.IMAGES and table.has("batch"):
        found["batch"] = _binding(table.table("batch"), frozenset({""}))
    return found


def _bounds(table: Table, kind: Kind) -> tuple[float | None, float | None]:
    least, most = table.number("min"), table.number("max")
    for name, value in (("min", least), ("max", most)):
        if value is not None and kind in WHOLE and not isinstance(value, int):
            table.fault(name, f"must be a whole number, not {value}")
    lowest, highest = _widest(kind)
    for name, value in (("min", least), ("max", most)):
        if value is not None and not lowest <= value <= highest:
            table.fault(name, f"must be from {lowest} to {highest}, not {value}")
    if least is not None and most is not None and least > most:
        table.fault("min", f"{least} is above max, {most}")
    if kind is Kind.ASPECT_RATIO and (least is None) != (most is None):
        table.fault("min", "sizes beside the tiles need both min and max")
    return least, most


def _widest(kind: Kind) -> tuple[float, float]:
    match kind:
        case Kind.SEED:
            return -1, 2**64 - 1
        case Kind.STRING | Kind.TEXT:
            return 0, MOST_CHARACTERS
        case Kind.LORAS | Kind.IMAGES:
            return 0, MOST_ENTRIES
        case Kind.ASPECT_RATIO:
            return 16, LARGEST_SIDE
        case _:
            return -(2**63), 2**64 - 1


def _step(table: Table, kind: Kind) -> float | None:
    step = table.number("step")
    if step is not None and (step <= 0 or (kind in WHOLE and not isinstance(step, int))):
        table.fault("step", f"must be {'a whole number' if kind in WHOLE else 'a number'} above 0, not {step}")
        return None
    return step


def _choices(table: Table, kind: Kind) -> Iterable[Choice]:
    seen: set[str] = set()
    for where, entry in table.items("choices"):
        one = table_of(as_object(entry) or {"value": entry}, where, table.notes)
        choice = _choice(one, kind)
        if choice.value in seen:
            one.fault("value", f"{spoken(choice.value)} stands twice")
        seen.add(choice.value)
        yield choice
    if not seen and kind is not Kind.MODEL:
        table.fault("choices", "is missing: list what may be said")


def _choice(table: Table, kind: Kind) -> Choice:
    tile = kind is Kind.ASPECT_RATIO
    made = Choice(
        table.text("value", required=True),
        table.words("label", longest=100),
        table.whole("width", 0, 16, LARGEST_SIDE) if tile else 0,
        table.whole("height", 0, 16, LARGEST_SIDE) if tile else 0,
    )
    if tile and not (table.has("width") and table.has("height")):
        table.fault("width", "a tile needs its width and height in pixels")
    table.close()
    return made


def _folder(table: Table, kind: Kind) -> str:
    """A folder that no loader of ours knows may be one of a pack."""
    default = "loras" if kind is Kind.LORAS else ""
    folder = table.text("folder", default, required=not default, longest=60)
    if folder and not re.fullmatch(r"[A-Za-z0-9_.-]{1,60}", folder):
        table.fault("folder", f"must name a folder of ComfyUI's models, like checkpoints, not {spoken(folder)}")
    return folder


def _chain(table: Table) -> Chain | None:
    if not table.has("chain"):
        return None
    chain = table.table("chain")
    made = Chain(
        chain.text("node", required=True),
        chain.whole("model", 0, 0, 100),
        chain.whole("clip", 1, 0, 100) if chain.body.get("clip", 1) is not None else None,
    )
    chain.close({"clip"})
    return made


def _strength(table: Table) -> Strength:
    said = table.table("strength")
    made = Strength(
        said.between("default", 0.5, -100, 100),
        said.between("min", 0.0, -100, 100),
        said.between("max", 2.0, -100, 100),
        said.number("step"),
    )
    said.close()
    if made.step is not None and made.step <= 0:
        said.fault("step", f"must be above 0, not {made.step}")
    elif not made.minimum <= made.default <= made.maximum:
        said.fault("default", f"must be from {made.minimum} to {made.maximum}, not {made.default}")
    return made


def _depends_on(table: Table) -> DependsOn | None:
    if not table.has("depends_on"):
        return None
    condition = table.table("depends_on")
    made = DependsOn(
        condition.text("parameter", required=True), tuple(one for _, one in condition.items("values"))
    )
    if not made.values:
        condition.fault("values", "is missing: list the values with which this one counts")
    condition.close()
    return made


def _bindings(table: Table, kind: Kind) -> Iterable[Binding]:
    for one in table.item_tables("bind", 50):
        yield _binding(one, PARTS.get(kind, frozenset({""})))


def _binding(table: Table, parts: frozenset[str]) -> Binding:
    node = table.raw("node")
    made = Binding(
        str(node) if isinstance(node, int) else table.text("node", required=True),
        table.text("input", required=True),
        table.text("part"),
    )
    if made.part not in parts:
        allowed = " or ".join(sorted(parts - {""})) or "left out"
        table.fault("part", f"must be {allowed}, not {spoken(made.part)}")
    table.close()
    return made
