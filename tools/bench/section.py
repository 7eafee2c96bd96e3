"""A section of the bench: asked how thorough to be, it measures, and gives figures, tables and a verdict."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType

Say = Callable[[str], None]
"""Told what is being done now; one line."""


@dataclass(frozen=True, slots=True)
class Asked:
    """`quick`: for a look, less than a minute or two. `write_docs`: put the tables into the section's page.

    `end_to_end`: where a section simulates, also compare the simulation with servers.
    """

    quick: bool
    write_docs: bool
    say: Say
    end_to_end: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """`found` is JSON. `good` is false when something was wrong, not when an aim was missed."""

    found: dict[str, Any]
    shown: Sequence[RenderableType]
    good: bool = True


Measure = Callable[[Asked], Answer]


@dataclass(frozen=True, slots=True)
class Section:
    line: str
    measure: Measure
