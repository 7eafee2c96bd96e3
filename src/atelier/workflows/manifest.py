"""A manifest is right in itself, or every fault of it is told with its place.

Whether it fits its graph is asked in `binding`, whether servers agree in `checking`. docs/workflows.md explains
every field.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

from atelier.jobs.recipe import PictureFormat
from atelier.workflows import values
from atelier.workflows.fields import Notes, Table, spoken, table_of
from atelier.workflows.model import (
    DependsOn,
    Example,
    Kind,
    Manifest,
    OutputRule,
    Pack,
    Parameter,
)
from atelier.workflows.parameters import check_default, parameter, shape_faults
from atelier.workflows.spelling import spelled
from atelier.workflows.written import InvalidManifest, load

__all__ = ["CATEGORIES", "InvalidManifest", "load", "parse", "spelled"]

CATEGORIES = (
    "text-to-image",
    "image-to-image",
    "inpaint",
    "outpaint",
    "upscale",
    "avatar",
    "sticker",
    "cover",
    "scene",
    "reference",
    "character-sheet",
    "animation",
    "video",
    "other",
)
TIMEOUTS = ("image", "video", "other")
MOST_PARAMETERS = 100
LARGEST_PRICE = 1_000_000
LARGEST_BATCH = 1_000

ID = re.compile(r"(?!import\Z)[a-z0-9][a-z0-9_-]{0,63}")
"""`import` stands for an id in a path of the API."""

_VERSION = re.compile(r"(?=.*[^0-9])[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")
_FAMILY = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_TAG = re.compile(r"\S(?:.{0,38}\S)?")
_URL = re.compile(r"https?://\S{1,300}")


def parse(document: object, *, folder_id: str = "") -> Manifest:
    """The manifest that a document (`load`ed, or JSON) is. Raises InvalidManifest with all its faults.

    `folder_id` is the name of its folder: the id, which must not say otherwise.
    """
    notes = Notes()
    table = table_of(document, "", notes)
    if notes.faults:
        raise InvalidManifest(notes.faults)
    made = _manifest(table, folder_id)
    table.close()
    _check_conditions(made, notes)
    _check_bound(made, notes)
    if not notes.faults:
        _check_examples(made, notes)
    if notes.faults:
        raise InvalidManifest(notes.faults)
    return made


def _manifest(table: Table, folder_id: str) -> Manifest:
    return Manifest(
        id=_id(table, folder_id),
        name=table.words("name", required=True, longest=100),
        description=table.words("description"),
        category=table.one_of("category", CATEGORIES, required=True),
        family=table.matching("family", _FAMILY, "small letters, digits, . _ and -"),
        version=_version(table),
        parameters=tuple(_parameters(table)),
        outputs=tuple(_outputs(table)),
        packs=tuple(_packs(table)),
        examples=tuple(_examples(table)),
        tags=_tags(table),
        price=table.whole("price", 0, 0, LARGEST_PRICE),
        timeout=table.one_of("timeout", TIMEOUTS, "image"),
        min_vram=table.between("min_vram", 0.0, 0, 1_000),
        max_batch_size=table.whole("max_batch_size", 1, 1, LARGEST_BATCH),
        format=table.one_of("format", [one.value for one in PictureFormat]),
    )


def _id(table: Table, folder_id: str) -> str:
    said = table.text("id", folder_id, required=not folder_id)
    if said and not ID.fullmatch(said):
        table.fault("id", f"must be small letters, digits, - and _, at most 64, not {spoken(said)}")
    elif folder_id and said != folder_id:
        table.fault("id", f"is {said}, but its folder is called {folder_id}")
    return said


def _version(table: Table) -> str:
    """A whole number names a revision, so it cannot name a version."""
    said = table.text("version", required=True)
    if said and not _VERSION.fullmatch(said):
        table.fault("version", f'must be like "1.0.0": letters, digits, . _ + and -, not {spoken(said)}')
    return said


def _parameters(table: Table) -> Iterator[Parameter]:
    """Those of the form, then the files; a name stands once."""
    seen: set[str] = set()
    for field, file in (("parameters", False), ("inputs", True)):
        for name, one in table.tables(field, MOST_PARAMETERS):
            made = parameter(name, one, file=file)
            if name in seen:
                table.notes.add(one.where, "is a parameter already")
            seen.add(name)
            default = check_default(one, made)
            yield made if default is None else replace(made, default=default)


def _outputs(table: Table) -> Iterator[OutputRule]:
    for one in table.item_tables("outputs", 50):
        node = one.raw("node")
        said = str(node) if isinstance(node, int) else one.text("node", required=True)
        yield OutputRule(said, one.words("label", longest=100))
        one.close()


def _packs(table: Table) -> Iterator[Pack]:
    for one in table.item_tables("packs", 50):
        yield Pack(
            one.text("name", required=True),
            one.matching("url", _URL, "an address like https://github.com/owner/pack"),
            one.texts("nodes"),
        )
        one.close()


def _examples(table: Table) -> Iterator[Example]:
    for one in table.item_tables("examples", 20):
        yield Example(one.words("title", longest=100), one.table("params").body)
        one.close()


def _tags(table: Table) -> tuple[str, ...]:
    found = table.texts("tags", 20, 40)
    for tag in found:
        if not _TAG.fullmatch(tag):
            table.fault("tags", f"{spoken(tag)} begins or ends with a space")
    return tuple(dict.fromkeys(found))


def _check_bound(made: Manifest, notes: Notes) -> None:
    """Every parameter changes something: an input of a node, or which others count."""
    asked = {one.depends_on.parameter for one in made.parameters if one.depends_on}
    for one in made.parameters:
        for field, what in shape_faults(one):
            notes.add(f"{_where(one)}.{field}", what)
        if not (one.bind or one.chain or one.batch or one.name in asked):
            notes.add(_where(one), "changes nothing: say in `bind` which input of which node it sets")


def _check_conditions(made: Manifest, notes: Notes) -> None:
    for one in made.parameters:
        if one.depends_on is None:
            continue
        where = f"{_where(one)}.depends_on"
        what = _condition_fault(made, one, one.depends_on)
        if what:
            notes.add(where, what)


def _condition_fault(made: Manifest, one: Parameter, condition: DependsOn) -> str:
    other = made.parameter(condition.parameter)
    if other is None:
        return f"there is no parameter {spoken(condition.parameter)}"
    if _circular(made, one):
        return f"{one.name} would depend on itself"
    if other.kind.takes_files or other.kind in {Kind.LORAS, Kind.SEED}:
        return f"{other.name} is of type {other.kind}, which nothing can depend on"
    unfit = [spoken(value) for value in condition.values if not values.fits(other, value)]
    return f"{other.name} can never be {' or '.join(unfit)}" if unfit else ""


def _circular(made: Manifest, one: Parameter) -> bool:
    seen: set[str] = set()
    here: Parameter | None = one
    while here is not None and here.name not in seen:
        seen.add(here.name)
        here = made.parameter(here.depends_on.parameter) if here.depends_on else None
    return here is not None and here.name == one.name


def _check_examples(made: Manifest, notes: Notes) -> None:
    """An example says everything but files, which who tries it brings along."""
    if not made.examples:
        return
    parts = (replace(one, required=one.required and not one.kind.takes_files) for one in made.parameters)
    without_files = replace(made, parameters=tuple(parts))
    for place, example in enumerate(made.examples):
        try:
            values.read(without_files, example.params)
        except values.InvalidParameter as wrong:
            for error in wrong.errors:
                notes.add(f"examples[{place}].params.{error['parameter']}", error["message"])


def _where(one: Parameter) -> str:
    return f"{'inputs' if one.kind.takes_files else 'parameters'}.{one.name}"
