"""Every fault of a manifest is told with its place, and what is right is kept whole."""

from typing import Any

import pytest

from atelier.workflows import manifest as manifests
from atelier.workflows.manifest import InvalidManifest
from atelier.workflows.model import Chain, Kind, Words
from support import workshop


def _faults(document: Any, folder_id: str = "boats") -> list[str]:
    with pytest.raises(InvalidManifest) as refusal:
        manifests.parse(document, folder_id=folder_id)
    return [str(fault) for fault in refusal.value.faults]


def _parameter_faults(**parameter: Any) -> list[str]:
    usual: dict[str, Any] = {"type": "int", "bind": {"node": "Sampler", "input": "steps"}}
    return _faults(workshop.with_parameters(it={**usual, **parameter}))


def test_a_manifest_says_all_that_it_says() -> None:
    made = workshop.manifest()

    assert (made.id, made.version, made.price, made.family) == ("boats", "1.0.0", 3, "sd15")
    assert made.name == Words("Boats", "Barcos")
    assert [one.name for one in made.parameters] == ["prompt", "steps", "seed"]
    assert made.timeout == "image"
    assert made.max_batch_size == 1


def test_a_plain_name_is_english_and_stands_for_portuguese_too() -> None:
    made = workshop.manifest(name="Boats")

    assert made.name.in_language("pt-BR") == "Boats"


FULL: dict[str, Any] = {
    "prompt": {"type": "text", "max": 4000, "default": "", "bind": {"node": "Positive", "input": "text"}},
    "size": {
        "type": "aspect_ratio",
        "default": "1:1",
        "min": 64,
        "max": 2048,
        "step": 64,
        "choices": [{"value": "1:1", "label": {"en": "Square"}, "width": 512, "height": 512}],
        "bind": [
            {"node": "Latent", "input": "width", "part": "width"},
            {"node": "4", "input": "height", "part": "height"},
        ],
    },
    "sharp": {"type": "bool", "default": True, "bind": {"node": 5, "input": "cfg"}},
    "sampler": {
        "type": "enum",
        "choices": ["euler", {"value": "ddim", "label": "DDIM"}],
        "default": "euler",
        "depends_on": {"parameter": "sharp", "values": True},
        "bind": {"node": "Sampler", "input": "sampler_name"},
        "unit": "x",
        "group": "More",
        "advanced": True,
        "help": {"en": "How", "pt": "Como"},
    },
    "model": {"type": "model", "folder": "checkpoints", "bind": {"node": "Checkpoint", "input": "ckpt_name"}},
    "loras": {
        "type": "loras",
        "max": 3,
        "default": ["a.safetensors"],
        "strength": {"default": 1, "min": -1, "max": 3, "step": 0.1},
        "chain": {"node": "Checkpoint", "clip": None},
    },
}


def test_written_out_in_full_it_is_the_same_manifest() -> None:
    document = workshop.document(
        parameters=FULL,
        inputs={
            "photo": {"type": "image", "required": True, "bind": {"node": "Photo", "input": "image"}},
            "more": {"type": "images", "max": 3, "batch": {"node": "Many", "input": "image"}},
        },
        examples=[{"title": {"en": "One", "pt": "Um"}, "params": {"prompt": "x", "size": "640x512"}}],
        packs=[{"name": "p", "url": "https://example.com/p", "nodes": ["A", "B"]}],
        tags=["a", "b"],
        min_vram=6.5,
        format="webp",
    )
    made = manifests.parse(document, folder_id="boats")

    again = manifests.parse(manifests.spelled(made))

    assert again == made
    assert again.parameters[-2].kind is Kind.IMAGE
    assert again.parameter("loras") is not None
    assert made.parameters[5].chain == Chain("Checkpoint", 0, None)
    assert made.parameters[5].default == [{"name": "a.safetensors", "strength": 1.0}]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        pytest.param({"name": None}, "name: is missing", id="no name"),
        pytest.param({"name": {"pt": "Barcos"}}, "name.en: is missing", id="no English"),
        pytest.param({"name": {"en": "x", "de": "y"}}, "name.de: is no field here", id="another language"),
        pytest.param({"name": 5}, "name: must be a text", id="name no text"),
        pytest.param({"id": "cars"}, "id: is cars, but its folder is called boats", id="other id"),
        pytest.param({"id": "Big Boats"}, "id: must be small letters", id="bad id"),
        pytest.param({"version": None}, "version: is missing", id="no version"),
        pytest.param(
            {"version": 1.0}, "version: must be a text, not 1.0: write it in quotes", id="version a number"
        ),
        pytest.param({"version": "3"}, 'version: must be like "1.0.0"', id="version a revision"),
        pytest.param({"category": "boats"}, "category: must be one of text-to-image,", id="category"),
        pytest.param({"category": "upscal"}, "did you mean upscale?", id="category nearly"),
        pytest.param({"family": "SDXL!"}, "family: must be small letters", id="family"),
        pytest.param({"price": -1}, "price: must be a whole number from 0 to 1000000, not -1", id="price"),
        pytest.param({"price": True}, "price: must be a number, not true", id="price true"),
        pytest.param({"price": 1.5}, "price: must be a whole number", id="price broken"),
        pytest.param({"timeout": "long"}, "timeout: must be one of image, video, other", id="timeout"),
        pytest.param({"format": "gif"}, "format: must be one of original, png, webp, jpeg, avif", id="format"),
        pytest.param({"min_vram": float("inf")}, "min_vram: must be a number", id="endless"),
        pytest.param({"max_batch_size": 0}, "max_batch_size: must be a whole number from 1", id="batch"),
        pytest.param({"tags": ["a", 5]}, "tags[1]: must be a text of 1 to 40", id="tag"),
        pytest.param({"tags": [" a"]}, "begins or ends with a space", id="tag with a space"),
        pytest.param({"prize": 3}, "prize: is no field here; did you mean price?", id="unknown field"),
        pytest.param({"outputs": [{"label": "x"}]}, "outputs[0].node: is missing", id="output"),
        pytest.param({"packs": [{"name": "p", "url": "ftp://x"}]}, "packs[0].url: must be an address", id="pack"),
        pytest.param({"parameters": []}, "parameters: must be a mapping", id="parameters a list"),
        pytest.param({"parameters": {"a": 3}}, "parameters.a: must be a mapping", id="parameter a number"),
        pytest.param({"description": "x\0y"}, "description: must not hold NUL", id="nul"),
        pytest.param(
            {"examples": [{"title": "x", "params": {"stps": 4}}]},
            "examples[0].params.stps: boats has no such parameter; did you mean steps?",
            id="example",
        ),
        pytest.param(
            {"inputs": {"steps": {"type": "image", "bind": {"node": "x", "input": "y"}}}},
            "inputs.steps: is a parameter already",
            id="twice",
        ),
        pytest.param(
            {"inputs": {"x": {"type": "int", "bind": {"node": "x", "input": "y"}}}},
            "inputs.x.type: must be one of image, mask, images",
            id="input no file",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(changes: dict[str, Any], fault: str) -> None:
    faults = _faults(
        {**workshop.document(), **changes} if None in changes.values() else workshop.document(**changes)
    )

    assert any(fault in each for each in faults), faults


@pytest.mark.parametrize(
    ("parameter", "fault"),
    [
        pytest.param({"type": "number"}, "it.type: must be one of int, float,", id="type"),
        pytest.param({"type": None}, "it.type: is missing", id="no type"),
        pytest.param({"min": 5, "max": 4}, "it.min: 5 is above max, 4", id="bounds crossed"),
        pytest.param({"min": "5"}, "it.min: must be a number, not '5'", id="bound a text"),
        pytest.param({"min": 0.5}, "it.min: must be a whole number", id="bound broken"),
        pytest.param({"step": 0}, "it.step: must be a whole number above 0", id="no step"),
        pytest.param({"type": "float", "step": -1}, "it.step: must be a number above 0", id="step back"),
        pytest.param({"default": 60, "max": 50}, "it.default: must be from", id="default out of bounds"),
        pytest.param({"default": True}, "it.default: must be a whole number", id="default true"),
        pytest.param(
            {"min": 1, "step": 2, "default": 4}, "it.default: 4 is not on a step; 5 is", id="default off the step"
        ),
        pytest.param({"required": True, "default": 5}, "it.default: is never used", id="default and required"),
        pytest.param({"required": "yes"}, "it.required: must be true or false", id="required a text"),
        pytest.param({"bind": None}, "it: changes nothing", id="bound to nothing"),
        pytest.param({"bind": {"node": "x"}}, "it.bind.input: is missing", id="no input"),
        pytest.param({"bind": {"node": "x", "input": "y", "part": "width"}}, "part: must be left out", id="part"),
        pytest.param({"bind": {"node": "x", "input": "y_{n}"}}, "a int is no list", id="numbered"),
        pytest.param({"choices": ["a"]}, "it.choices: is no field here", id="choices of a number"),
        pytest.param({"type": "enum"}, "it.choices: is missing", id="no choices"),
        pytest.param({"type": "enum", "choices": ["a", "a"]}, "'a' stands twice", id="choice twice"),
        pytest.param({"type": "enum", "choices": [1]}, "write it in quotes", id="choice a number"),
        pytest.param(
            {"type": "enum", "choices": ["ab"], "default": "abc"}, "it.default: must be one of ab", id="no choice"
        ),
        pytest.param({"type": "model"}, "it.folder: is missing", id="no folder"),
        pytest.param({"type": "model", "folder": "../x"}, "it.folder: must name a folder", id="folder outside"),
        pytest.param({"type": "aspect_ratio", "choices": ["1:1"]}, "a tile needs its width and height", id="tile"),
        pytest.param(
            {"type": "aspect_ratio", "choices": [{"value": "1:1", "width": 8, "height": 99999}], "min": 64},
            "sizes beside the tiles need both min and max",
            id="half a bound",
        ),
        pytest.param({"type": "loras"}, "must hold {n}", id="loras not numbered"),
        pytest.param({"type": "loras", "chain": {"node": "x"}}, "one way or the other", id="chain and bind"),
        pytest.param(
            {"type": "loras", "strength": {"default": 5}},
            "strength.default: must be from 0.0 to 2.0",
            id="strength",
        ),
        pytest.param({"type": "image", "default": "x"}, "it.default: a file has none", id="default of a file"),
        pytest.param(
            {"depends_on": {"parameter": "that", "values": [1]}},
            "there is no parameter 'that'",
            id="depends on none",
        ),
        pytest.param(
            {"depends_on": {"parameter": "it", "values": [1]}}, "it would depend on itself", id="depends on itself"
        ),
        pytest.param({"depends_on": {"parameter": "it"}}, "depends_on.values: is missing", id="depends on what"),
        pytest.param({"hint": "x"}, "it.hint: is no field here", id="unknown field"),
    ],
)
def test_a_fault_of_a_parameter_is_told_with_its_place(parameter: dict[str, Any], fault: str) -> None:
    faults = _parameter_faults(**parameter)

    assert any(fault in each for each in faults), faults


def test_all_faults_are_told_at_once() -> None:
    faults = _faults(workshop.document(name=None, version=None, price="much", category="none"))

    assert [fault.partition(":")[0] for fault in faults] == ["name", "category", "version", "price"]


def test_a_name_of_a_parameter_is_plain() -> None:
    bind = {"node": "x", "input": "y"}
    faults = _faults(workshop.with_parameters(**{"Bad.name": {"type": "int", "bind": bind}}))

    assert "its name must be small letters" in faults[0]


def test_a_condition_must_be_possible() -> None:
    bind = {"node": "Sampler", "input": "steps"}
    faults = _faults(
        workshop.with_parameters(
            a={"type": "enum", "choices": ["x"], "bind": bind},
            b={"type": "int", "bind": bind, "depends_on": {"parameter": "a", "values": ["x", "z"]}},
        )
    )

    assert faults == ["parameters.b.depends_on: a can never be 'z'"]


def test_parameters_do_not_depend_on_one_another_in_a_circle() -> None:
    bind = {"node": "Sampler", "input": "steps"}
    faults = _faults(
        workshop.with_parameters(
            a={"type": "bool", "bind": bind, "depends_on": {"parameter": "b", "values": [True]}},
            b={"type": "bool", "bind": bind, "depends_on": {"parameter": "a", "values": [True]}},
        )
    )

    assert len(faults) == 2


@pytest.mark.parametrize("document", [None, 5, "x", [], [{}], {"a": {1: 2}}], ids=repr)
def test_what_is_no_mapping_is_no_manifest(document: Any) -> None:
    assert _faults(document)
