"""A Range header means one slice, the whole, or nothing that exists (RFC 9110, section 14)."""

import re
from dataclasses import dataclass

_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Slice:
    """Bytes `start` up to, without, `stop`."""

    start: int
    stop: int

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.stop - 1}/{size}"


@dataclass(frozen=True, slots=True)
class Whole:
    """No range, or one that we need not honour: several slices, other units, malformed."""


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """The range lies behind the end: 416."""


def parse_range(header: str | None, size: int) -> Slice | Whole | Unsatisfiable:
    """What `header` asks for of a representation of `size` bytes."""
    found = _RANGE.fullmatch(header) if header else None
    if found is None or found.groups() == ("", ""):
        return Whole()
    first, last = found.groups()
    if not first:
        start, stop = size - min(int(last), size), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return Whole()
    return Slice(start, stop) if start < stop else Unsatisfiable()
