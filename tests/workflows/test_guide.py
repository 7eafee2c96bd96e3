"""The author's guide is true: its manifests are good, and it names every field, type and category there is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from atelier.workflows import checking, kinds, values
from atelier.workflows import manifest as manifests
from atelier.workflows.manifest import CATEGORIES, InvalidManifest
from atelier.workflows.model import Kind
from support import workshop

PAGE = (Path(__file__).parents[2] / "docs" / "workflows.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL)


def _section(title: str) -> str:
    return re.split(r"^#+ ", PAGE.partition(f"\n{title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def _named(section: str) -> set[str]:
    """What stands in the first cells of a section's table."""
    cells = re.findall(r"^\| (`[^|]*) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def _known(document: Any) -> set[str]:
    """The fields that may stand where this document has one that may not."""
    with pytest.raises(InvalidManifest) as refusal:
        manifests.parse(document, folder_id="boats")
    [said] = [one.what for one in refusal.value.faults if "there are" in one.what]
    return set(said.partition("there are ")[2].split(", "))


def test_the_first_manifest_is_good() -> None:
    [whole, _] = _blocks("yaml")

    made = manifests.parse(manifests.load(whole), folder_id="boats")

    assert checking.faults(made, workshop.GRAPH, ()) == []
    assert values.read(made, {"prompt": "x"}).params["steps"] == 20


def test_the_stack_of_loras_is_good() -> None:
    parameters = manifests.load(_blocks("yaml")[1])

    made = manifests.parse(workshop.document(parameters=parameters, examples=None), folder_id="boats")

    assert made.parameters[0].kind is Kind.LORAS


def test_every_field_of_a_manifest_is_explained() -> None:
    assert _named(_section("## The manifest")) == _known(workshop.document(qqqqqqqq=1))


def test_every_field_of_a_parameter_is_explained() -> None:
    known: set[str] = set()
    for kind in Kind:
        parameter = {"type": kind.value, "qqqqqqqq": 1}
        known |= _known(workshop.with_parameters(it=parameter))

    assert _named(_section("## Parameters")) == known


def test_every_type_is_explained() -> None:
    assert _named(_section("### Types")) == {kind.value for kind in Kind}


def test_every_category_is_listed() -> None:
    assert re.findall(r"`([^`]+)`", _section("### Categories")) == list(CATEGORIES)


def test_the_usual_bounds_are_told() -> None:
    types = _section("### Types")

    assert f"at most {kinds.LONGEST[Kind.STRING]} unless" in types
    assert f"at most {kinds.LONGEST[Kind.TEXT]} unless" in types
    assert f"at most {kinds.MOST[Kind.LORAS]} unless" in types
    assert f"at most {kinds.MOST[Kind.IMAGES]} unless" in types
    assert f"-1 to {kinds.LARGEST_SEED} unless" in types


def test_the_error_that_is_shown_is_the_one_that_is_given() -> None:
    [shown] = _blocks("json")

    with pytest.raises(values.InvalidParameter) as refusal:
        values.read(workshop.manifest(), {"prompt": "x", "steps": 500})

    assert list(refusal.value.errors) == [json.loads(shown)]


def test_the_fault_that_is_shown_is_the_one_that_is_told() -> None:
    bind = {"node": "Samplr", "input": "steps"}
    made = manifests.parse(workshop.with_parameters(steps={"type": "int", "bind": bind}), folder_id="boats")

    [fault] = checking.faults(made, workshop.GRAPH, ())

    assert f"`{fault}`" in PAGE
