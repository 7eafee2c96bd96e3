"""The inputs of one node are looked at in declared order; a link asks for its source to be judged first."""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from atelier.comfy import validation_errors as errors
from atelier.comfy.catalog import Catalog, InputSpec, NodeSpec, as_list, as_object
from atelier.comfy.validation_errors import NodeError

Ignore: TypeAlias = Callable[[str, str, Any], bool]
"""(class_type, input_name, value) -> whether this value is accepted unseen."""

FileCheck: TypeAlias = Callable[[str, str, Any], str | None]
"""(class_type, input_name, value) -> why the server cannot open that uploaded file, or None."""

_CONVERSIONS: dict[str, Callable[[Any], object]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known about one node. It can be invalid without errors: then the fault lies upstream."""

    valid: bool
    errors: tuple[NodeError, ...] = ()


Outcome: TypeAlias = Finding | Exception


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a node's inputs are compared with: the graph, the catalogue and what the asker allows."""

    nodes: Mapping[str, Any]
    catalog: Catalog
    ignore: Ignore | None
    files: FileCheck | None
    skip_files: bool
    blame: Callable[[str, NodeError], None]


@dataclass(slots=True)
class NodeInputs:
    """The inputs of one node while they are looked at; `converted` differs from `given` once a value changed."""

    around: Surroundings
    spec: NodeSpec
    given: Any
    converted: dict[str, Any] = field(default_factory=dict[str, Any])
    found: list[NodeError] = field(default_factory=list[NodeError])
    valid: bool = True

    def look(self) -> Generator[str, Outcome, Finding]:
        """Yields the id of each node that must be judged first and is sent the outcome."""
        for spec in self.spec.inputs:
            if spec.name in self.given:
                yield from self._look_at(spec, self.given[spec.name])
            elif spec.required and not spec.is_dynamic:
                self.found.append(errors.required_input_missing(spec))
        self.found.extend(self._unopenable())
        return Finding(self.valid and not self.found, tuple(self.found))

    def _look_at(self, spec: InputSpec, value: object) -> Generator[str, Outcome, None]:
        if self._ignored(spec, value):
            return
        link = None if spec.is_multiselect else as_list(value)
        if link is None:
            self._look_at_value(spec, value)
        else:
            yield from self._look_at_link(spec, link)

    def _look_at_link(self, spec: InputSpec, link: list[Any]) -> Generator[str, Outcome, None]:
        if len(link) != 2:
            self.found.append(errors.bad_linked_input(spec, link))
            return
        upstream, slot = link
        source = self.around.catalog.get(self.around.nodes[upstream]["class_type"])
        received = source.outputs[slot] if source else None
        if not link_fits(received, spec.type):
            self.found.append(errors.return_type_mismatch(spec, received, link))
            return
        outcome = yield upstream
        if isinstance(outcome, Exception):
            self.around.blame(upstream, errors.exception_during_inner_validation(spec, link, outcome))
        self.valid = self.valid and isinstance(outcome, Finding) and outcome.valid

    def _look_at_value(self, spec: InputSpec, value: object) -> None:
        wrapped = as_object(value)
        plain = value if wrapped is None else wrapped.get("__value__", value)
        try:
            converted = _converted(spec, plain)
        except (TypeError, ValueError, OverflowError, RecursionError) as reason:
            self.found.append(errors.invalid_input_type(spec, plain, reason))
            return
        if converted is not value:
            self.converted[spec.name] = converted
        if fault := _out_of_bounds(spec, converted):
            self.found.append(fault)

    def _unopenable(self) -> Iterator[NodeError]:
        """ComfyUI asks the node class itself about uploaded files, after all other checks."""
        given = as_object(self.given)
        if self.around.skip_files or given is None:
            return
        for spec in self.spec.inputs:
            value = given.get(spec.name)
            if spec.upload is None or value is None or as_list(value) is not None or self._ignored(spec, value):
                continue
            if reason := self._why_unopenable(spec, value):
                yield errors.custom_validation_failed(spec, reason)

    def _why_unopenable(self, spec: InputSpec, value: object) -> str | None:
        if self.around.files is not None:
            return self.around.files(self.spec.name, spec.name, value)
        known = spec.choices
        return None if known is None or value in known else f"Invalid {spec.upload} file: {value}"

    def _ignored(self, spec: InputSpec, value: object) -> bool:
        return self.around.ignore is not None and self.around.ignore(self.spec.name, spec.name, value)


def link_fits(received: object, wanted: object) -> bool:
    """Whether an output of type `received` may feed an input of type `wanted`.

    Types are equal, or one of them is `*`, or their comma lists meet (as ComfyUI compares when it is not strict).
    """
    if received == wanted:
        return True
    if not isinstance(received, str) or not isinstance(wanted, str):
        return False
    if "MATCHTYPE" in received or "MATCHTYPE" in wanted:
        return True
    given = {part.strip() for part in received.split(",")}
    accepted = {part.strip() for part in wanted.split(",")}
    return "*" in given or "*" in accepted or not given.isdisjoint(accepted)


def _converted(spec: InputSpec, value: object) -> object:
    convert = _CONVERSIONS.get(spec.type) if isinstance(spec.type, str) else None
    return value if convert is None else convert(value)


def _out_of_bounds(spec: InputSpec, value: Any) -> NodeError | None:
    if spec.upload is not None:
        return None
    if "min" in spec.options and value < spec.options["min"]:
        return errors.value_smaller_than_min(spec, value)
    if "max" in spec.options and value > spec.options["max"]:
        return errors.value_bigger_than_max(spec, value)
    choices = spec.choices
    picked = (as_list(value) if spec.is_multiselect else None) or [value]
    if choices is not None and any(one not in choices for one in picked):
        return errors.value_not_in_list(spec, value, choices)
    return None
