"""A document is read field by field; whatever is wrong is noted with its place, and reading goes on."""

import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from atelier.comfy.catalog import as_list, as_object
from atelier.fleet.requirements import nearest
from atelier.workflows.model import Fault, Words

LONGEST_TEXT = 4_000
MOST_ITEMS = 500
LANGUAGES = ("en", "pt")

_UNFIT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Notes:
    """All that is wrong so far."""

    faults: list[Fault] = field(default_factory=list[Fault])

    def add(self, where: str, what: str) -> None:
        self.faults.append(Fault(where, what))


@dataclass(slots=True)
class Table:
    """One mapping of a document. Every question gives a usable value; `close` when all are asked."""

    body: Mapping[str, Any]
    where: str
    notes: Notes
    asked: set[str] = field(default_factory=set[str])

    def has(self, name: str) -> bool:
        self.asked.add(name)
        return self.body.get(name) is not None

    def raw(self, name: str) -> Any:
        self.asked.add(name)
        return self.body.get(name)

    def place(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def fault(self, name: str, what: str) -> None:
        self.notes.add(self.place(name), what)

    def text(self, name: str, default: str = "", *, required: bool = False, longest: int = 200) -> str:
        value = self.raw(name)
        if value is None:
            if required:
                self.fault(name, "is missing")
            return default
        return self._checked(name, value, longest)

    def _checked(self, name: str, value: object, longest: int) -> str:
        if not isinstance(value, str):
            self.fault(name, f"must be a text, not {spoken(value)}" + _quote(value))
        elif len(value) > longest:
            self.fault(name, f"has {len(value)} characters; {longest} are allowed")
        elif _UNFIT.search(value):
            self.fault(name, "must not hold NUL or half a surrogate pair")
        else:
            return value
        return ""

    def matching(self, name: str, pattern: re.Pattern[str], what: str, default: str = "") -> str:
        """A text of a given form; `what` says the form in words."""
        value = self.text(name, default)
        if value and not pattern.fullmatch(value):
            self.fault(name, f"must be {what}, not {spoken(value)}")
        return value

    def one_of(self, name: str, allowed: Collection[str], default: str = "", *, required: bool = False) -> str:
        value = self.text(name, default, required=required)
        if value and value not in allowed:
            near = nearest(value, allowed)
            perhaps = f"; did you mean {near[0]}?" if near else ""
            self.fault(name, f"must be one of {', '.join(allowed)}, not {spoken(value)}{perhaps}")
            return default or next(iter(allowed))
        return value

    def words(self, name: str, *, required: bool = False, longest: int = LONGEST_TEXT) -> Words:
        """A text in English, or a mapping of languages."""
        value = self.raw(name)
        if value is None and required:
            self.fault(name, "is missing")
        if value is None or isinstance(value, str):
            return Words(self._checked(name, value or "", longest))
        table = self._table(value, name, "must be a text, or one for each of en and pt")
        found = Words(table.text("en", longest=longest), table.text("pt", longest=longest))
        if table.body and not found.en:
            table.fault("en", "is missing")
        table.close(LANGUAGES)
        return found

    def flag(self, name: str) -> bool:
        value = self.raw(name)
        if value is not None and not isinstance(value, bool):
            self.fault(name, f"must be true or false, not {spoken(value)}")
        return value is True

    def number(self, name: str) -> float | None:
        """A finite number, an int where it was written as one."""
        value = self.raw(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_small(value):
            self.fault(name, f"must be a number, not {spoken(value)}")
            return None
        return value

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        value = self.number(name)
        if value is None:
            return default
        if not isinstance(value, int) or not least <= value <= most:
            self.fault(name, f"must be a whole number from {least} to {most}, not {spoken(value)}")
            return default
        return value

    def between(self, name: str, default: float, least: float, most: float) -> float:
        value = self.number(name)
        if value is not None and not least <= value <= most:
            self.fault(name, f"must be from {least} to {most}, not {spoken(value)}")
            return default
        return default if value is None else value

    def table(self, name: str) -> "Table":
        """A mapping; an empty one where there is none."""
        value = self.raw(name)
        return self._table({} if value is None else value, name, "must be a mapping of names to values")

    def tables(self, name: str, most: int = MOST_ITEMS) -> Iterator[tuple[str, "Table"]]:
        """A mapping of mappings, each with its own name."""
        outer = self.table(name)
        if len(outer.body) > most:
            self.fault(name, f"has {len(outer.body)} entries; {most} are allowed")
            return
        for key in outer.body:
            yield key, outer.table(key)

    def items(self, name: str, most: int = MOST_ITEMS) -> Iterator[tuple[str, Any]]:
        """The entries of a list, each with its place; a single value is a list of it."""
        value = self.raw(name)
        if value is None:
            return
        entries = as_list(value)
        if entries is None:
            yield self.place(name), value
            return
        if len(entries) > most:
            self.fault(name, f"has {len(entries)} entries; {most} are allowed")
        for place, entry in enumerate(entries[:most]):
            yield f"{self.place(name)}[{place}]", entry

    def item_tables(self, name: str, most: int = MOST_ITEMS) -> Iterator["Table"]:
        for where, entry in self.items(name, most):
            yield table_of(entry, where, self.notes)

    def texts(self, name: str, most: int = MOST_ITEMS, longest: int = 200) -> tuple[str, ...]:
        found: list[str] = []
        for where, entry in self.items(name, most):
            if isinstance(entry, str) and entry and len(entry) <= longest and not _UNFIT.search(entry):
                found.append(entry)
            else:
                what = f"must be a text of 1 to {longest} characters, not {spoken(entry)}"
                self.notes.add(where, what + _quote(entry))
        return tuple(found)

    def close(self, known: Collection[str] = ()) -> None:
        """Note every field that nobody asked for."""
        fields = {*self.asked, *known}
        for name in self.body:
            if name not in fields:
                near = nearest(name, fields)
                perhaps = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(fields))}"
                self.fault(name[:80], f"is no field here; {perhaps}")

    def _table(self, value: object, name: str, what: str) -> "Table":
        return table_of(value, self.place(name), self.notes, what)


def table_of(value: object, where: str, notes: Notes, what: str = "must be a mapping of names to values") -> Table:
    """The mapping that a value is; an empty one, and a fault, where it is none."""
    table = as_object(value)
    if table is None:
        notes.add(where or "the manifest", f"{what}, not {spoken(value)}")
    elif not all(isinstance(key, str) for key in cast("dict[object, object]", value)):
        notes.add(where or "the manifest", "has a name that is no text")
        table = None
    return Table(table or {}, where, notes)


def spoken(value: object) -> str:
    """A value as a fault repeats it."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case bool():
            return "true" if value else "false"
        case _:
            text = repr(value)
            return text if len(text) <= 80 else f"{text[:80]}…"


def _is_small(value: float) -> bool:
    return abs(value) < 2**64 if isinstance(value, int) else math.isfinite(value)


def _quote(value: object) -> str:
    return ": write it in quotes" if isinstance(value, int | float) else ""
