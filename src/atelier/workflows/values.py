"""What was said becomes every parameter's value, or all that is wrong with it is told at once."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from atelier.fleet.requirements import nearest
from atelier.kit import errors
from atelier.workflows import kinds
from atelier.workflows.kinds import Models, Unfit
from atelier.workflows.model import Kind, Manifest, Parameter

LORA_STRENGTH = "lora_strength"
"""Said beside the parameters, it is the strength of all LoRAs, given or by default."""

MOST_TOLD = 50
RANDOM = -1

TOP: Mapping[str, Kind] = {"prompt": Kind.TEXT, "seed": Kind.SEED, "input_image": Kind.IMAGE, "mask": Kind.MASK}
"""What a request may say beside `params`, and the first parameter of which kind takes it."""


class InvalidParameter(errors.Refusal):
    """`details.errors`: for each `parameter` a `message`, with `min`, `max`, `allowed`, `nearest` if they help."""

    kind: ClassVar[errors.Kind] = errors.Kind.INVALID
    code: ClassVar[str] = "invalid_parameter"

    def __init__(self, found: Sequence[Mapping[str, Any]]) -> None:
        told = found[:MOST_TOLD]
        sentences = [f"{one['parameter']} {one['message']}".rstrip("?") + "." for one in told]
        if len(found) > len(told):
            sentences.append(f"{len(found) - len(told)} more are wrong.")
        super().__init__(" ".join(sentences), details={"errors": list(told)})
        self.errors = tuple(told)


@dataclass(frozen=True, slots=True)
class Values:
    """Every parameter that counts and has a value, plain JSON; files by the ids of their assets.

    `seed` is that of the first seed parameter; `drawn`: nobody named it.
    """

    params: Mapping[str, Any]
    seed: int | None = None
    drawn: bool = False


def read(manifest: Manifest, given: Mapping[str, Any], *, models: Models | None = None) -> Values:
    """Raises InvalidParameter, which names everything that is wrong.

    null is not said. A parameter whose condition (`depends_on`) does not hold takes no value, whatever was said.
    """
    reading = _Reading(manifest, given, models)
    for parameter in manifest.parameters:
        reading.value_of(parameter)
    reading.note_unknown()
    if reading.errors:
        raise InvalidParameter(reading.errors)
    return _drawn(manifest, reading.strengthened())


def at_top(manifest: Manifest, said: Mapping[str, Any]) -> dict[str, Any]:
    """What a request says beside `params` (`prompt`, `negative_prompt`, `seed`, …), by the names of parameters.

    Raises InvalidParameter for what this workflow takes in no parameter.
    """
    found: dict[str, Any] = {}
    wrong: list[Mapping[str, Any]] = []
    for name, value in said.items():
        parameter = _for(manifest, name)
        if parameter is not None:
            found[parameter.name] = [value] if _wants_list(parameter, value) else value
        elif value is not None:
            wrong.append({"parameter": name, "message": f"{manifest.id} takes none"})
    if wrong:
        raise InvalidParameter(wrong)
    return found


def _for(manifest: Manifest, name: str) -> Parameter | None:
    kind = TOP.get(name)
    first = manifest.first(kind) if kind else None
    if first is None and kind is Kind.IMAGE:
        first = manifest.first(Kind.IMAGES)
    return manifest.parameter(name) or first


def _wants_list(parameter: Parameter, value: object) -> bool:
    return parameter.kind is Kind.IMAGES and value is not None and not isinstance(value, list)


@dataclass(slots=True)
class _Reading:
    manifest: Manifest
    given: Mapping[str, Any]
    models: Models | None
    used: dict[str, Any] = field(default_factory=dict[str, Any])
    errors: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    def value_of(self, parameter: Parameter) -> Any:
        """Its value, None where it has none. What it depends on may stand behind it in the manifest."""
        if parameter.name not in self.used:
            self.used[parameter.name] = None
            self.used[parameter.name] = self._read(parameter) if self._counts(parameter) else None
        return self.used[parameter.name]

    def _counts(self, parameter: Parameter) -> bool:
        condition = parameter.depends_on
        if condition is None:
            return True
        other = self.manifest.parameter(condition.parameter)
        value = self.value_of(other) if other else None
        return any(same(value, one) for one in condition.values)

    def _read(self, parameter: Parameter) -> Any:
        said = self.given.get(parameter.name)
        try:
            if said is None:
                return self._unsaid(parameter)
            return kinds.understood(parameter, said, self.models)
        except Unfit as unfit:
            self._note(parameter.name, unfit, kinds.told(parameter))
            return None

    def _unsaid(self, parameter: Parameter) -> Any:
        if parameter.required and parameter.default is None:
            raise Unfit("is required")
        return parameter.default

    def _note(self, name: str, unfit: Unfit, bounds: Mapping[str, Any] | None = None) -> None:
        self.errors.append({"parameter": name, "message": unfit.message, **(bounds or {}), **unfit.more})

    def note_unknown(self) -> None:
        """Names that no parameter has, each with those that are most like it."""
        known = [parameter.name for parameter in self.manifest.parameters]
        for name in self.given:
            if name not in self.used and not self._is_strength(name):
                near = nearest(str(name), known)
                perhaps = f"; did you mean {' or '.join(near)}?" if near else f"; it has {', '.join(known)}"
                unfit = Unfit(f"{self.manifest.id} has no such parameter{perhaps}", nearest=near)
                self._note(str(name)[:80], unfit)
        self._strength()

    def _is_strength(self, name: str) -> bool:
        return name == LORA_STRENGTH and self.manifest.first(Kind.LORAS) is not None

    def _strength(self) -> float | None:
        """The strength of all LoRAs, if one was said."""
        said = self.given.get(LORA_STRENGTH)
        parameter = self.manifest.first(Kind.LORAS)
        if said is None or parameter is None or LORA_STRENGTH in self.used:
            return None
        try:
            return kinds.strength(parameter.strength, said)
        except Unfit as unfit:
            self._note(LORA_STRENGTH, unfit)
            return None

    def strengthened(self) -> dict[str, Any]:
        """All values, with every LoRA as strong as was said."""
        strong = self._strength()
        used = {name: value for name, value in self.used.items() if value is not None}
        if strong is None:
            return used
        loras = {one.name for one in self.manifest.parameters if one.kind is Kind.LORAS} & used.keys()
        return used | {name: [one | {"strength": strong} for one in used[name]] for name in loras}


def fits(parameter: Parameter, value: object) -> bool:
    """Whether the parameter can ever have this very value."""
    try:
        return same(kinds.understood(parameter, value), value)
    except Unfit:
        return False


def same(value: object, other: object) -> bool:
    """Equal as JSON is: true is not 1."""
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _drawn(manifest: Manifest, used: dict[str, Any]) -> Values:
    seed, drawn = None, False
    for parameter in manifest.parameters:
        if parameter.kind is not Kind.SEED or parameter.name not in used:
            continue
        if used[parameter.name] == RANDOM:
            used[parameter.name] = _random(parameter)
            drawn = True
        seed = used[parameter.name] if seed is None else seed
    return Values({one.name: used[one.name] for one in manifest.parameters if one.name in used}, seed, drawn)


def _random(parameter: Parameter) -> int:
    least, most = kinds.bounds(parameter)
    lowest = max(0, int(least or 0))
    return lowest + secrets.randbelow(int(kinds.LARGEST_SEED if most is None else most) - lowest + 1)
