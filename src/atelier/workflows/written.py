"""A manifest's text becomes plain JSON values, or it is said at which line and column it cannot.

It is YAML 1.2 as people expect it: `16:9`, `on` and `2026-11-21` are texts. Anchors, aliases and tags are refused:
nothing in a manifest needs them, and few bytes of them can stand for gigabytes.
"""

import re
from collections.abc import Hashable
from typing import Any, ClassVar, cast

import yaml

from atelier.kit import errors
from atelier.workflows.model import Fault

LARGEST = 1_000_000
"""Bytes of one manifest."""
DEEPEST = 20
MOST_VALUES = 50_000

_PLAIN = {
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", "tTfF"),
    "tag:yaml.org,2002:null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "tag:yaml.org,2002:int": (r"[-+]?[0-9]{1,30}", "-+0123456789"),
    "tag:yaml.org,2002:float": (
        r"[-+]?(?:\.[0-9]{1,30}|[0-9]{1,30}(?:\.[0-9]{0,30})?)(?:[eE][-+]?[0-9]{1,5})?",
        "-+.0123456789",
    ),
}
"""What is no text though nothing quotes it: YAML 1.2's core schema, decimal, in the order in which it is tried."""


class InvalidManifest(errors.Refusal):
    """`details.faults`: a list of `{"where", "what"}`."""

    kind: ClassVar[errors.Kind] = errors.Kind.INVALID
    code: ClassVar[str] = "invalid_manifest"

    def __init__(self, faults: list[Fault]) -> None:
        told = faults[:100]
        super().__init__(
            "The workflow's manifest is wrong: " + "; ".join(map(str, told[:10])),
            details={"faults": [{"where": one.where, "what": one.what} for one in told]},
        )
        self.faults = tuple(told)


def load(text: str | bytes) -> object:
    """The document of a YAML text. Raises InvalidManifest."""
    if len(text) > LARGEST:
        raise InvalidManifest([Fault("workflow.yaml", f"is larger than {LARGEST} bytes")])
    try:
        _look_over(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader with fewer types still
    except yaml.MarkedYAMLError as error:
        raise _fault(error.problem or "is no YAML", error.problem_mark or error.context_mark) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _fault(f"is no YAML: {str(error).splitlines()[0]}", None) from None


def _look_over(text: str | bytes) -> None:
    """The events of a text come one by one: nothing is built of one that is too deep or refers to itself."""
    depth = 0
    for seen, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _fault("anchors (&) and aliases (*) are not used here: write it out", event.start_mark)
        if getattr(event, "tag", None):
            raise _fault("tags (!) are not used here", event.start_mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise _fault(f"is nested more than {DEEPEST} levels deep", event.start_mark)
        if seen > MOST_VALUES:
            raise _fault(f"has more than {MOST_VALUES} values", event.start_mark)


def _fault(what: str, mark: Any) -> InvalidManifest:
    where = f"workflow.yaml line {mark.line + 1}, column {mark.column + 1}" if mark else "workflow.yaml"
    return InvalidManifest([Fault(where, what)])


class _Loader(yaml.CSafeLoader):
    """A name stands once in a mapping, and is a text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - as the class above has it
        made = cast("Any", self).construct_object
        seen: set[str] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None:
                raise yaml.constructor.ConstructorError(None, None, "a name must be a text", key.start_mark)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} stands twice", key.start_mark)
            seen.add(name)
        return {str(key.value): made(value, deep=deep) for key, value in node.value}


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> int:
    return int(loader.construct_scalar(node))


def _point(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node))


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """By the first character of a text: what it may be beside a text."""
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for tag, (pattern, firsts) in _PLAIN.items():
        for first in firsts:
            found.setdefault(first, []).append((tag, re.compile(rf"^(?:{pattern})$")))
    return found


_Loader.yaml_implicit_resolvers = _resolvers()
_Loader.add_constructor("tag:yaml.org,2002:int", _decimal)
_Loader.add_constructor("tag:yaml.org,2002:float", _point)
