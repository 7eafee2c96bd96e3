"""The schema of a workflow's parameters takes what is taken, and refuses what is refused."""

from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, meta

from atelier.workflows import manifest as manifests
from atelier.workflows import schema, values
from atelier.workflows.values import InvalidParameter
from support import workshop

ASSET = "0199b2c0-1111-7222-8333-444455556666"
MADE = manifests.parse(
    workshop.with_parameters(
        prompt={"type": "text", "required": True, "max": 9, "bind": {"node": "Positive", "input": "text"}},
        whole={"type": "int", "min": 1, "max": 9, "default": 3, "bind": {"node": "Sampler", "input": "steps"}},
        number={"type": "float", "min": 0, "max": 1, "bind": {"node": "Sampler", "input": "cfg"}},
        flag={"type": "bool", "default": False, "bind": {"node": "Sampler", "input": "denoise"}},
        choice={
            "type": "enum",
            "choices": [{"value": "a", "label": {"en": "An A", "pt": "Um A"}}, "b"],
            "required": True,
            "depends_on": {"parameter": "flag", "values": [True]},
            "bind": {"node": "Sampler", "input": "scheduler"},
        },
        photo={"type": "image", "bind": {"node": "Photo", "input": "image"}},
        photos={"type": "images", "max": 2, "batch": {"node": "Many", "input": "image"}},
        model={"type": "model", "folder": "checkpoints", "bind": {"node": "Checkpoint", "input": "ckpt_name"}},
        loras={"type": "loras", "max": 2, "chain": {"node": "Checkpoint"}},
        seed={"type": "seed", "default": -1, "bind": {"node": "Sampler", "input": "seed"}},
        size={
            "type": "aspect_ratio",
            "choices": [{"value": "1:1", "width": 64, "height": 64}],
            "min": 64,
            "max": 999,
            "bind": {"node": "Latent", "input": "width", "part": "width"},
        },
    ),
    folder_id="boats",
)
FILES = {"checkpoints": ["sd15.safetensors"], "loras": ["x.safetensors"]}


def _models(folder: str) -> list[str]:
    return FILES[folder]


@pytest.mark.parametrize(
    ("said", "good"),
    [
        pytest.param({"prompt": "x"}, True, id="least"),
        pytest.param({}, False, id="nothing"),
        pytest.param({"prompt": "x" * 10}, False, id="long"),
        pytest.param({"prompt": "x", "whole": 9}, True, id="whole"),
        pytest.param({"prompt": "x", "whole": 10}, False, id="above"),
        pytest.param({"prompt": "x", "whole": 1.5}, False, id="broken"),
        pytest.param({"prompt": "x", "whole": True}, False, id="true"),
        pytest.param({"prompt": "x", "number": 1}, True, id="number"),
        pytest.param({"prompt": "x", "flag": True, "choice": "a"}, True, id="choice"),
        pytest.param({"prompt": "x", "flag": True}, False, id="choice missing"),
        pytest.param({"prompt": "x", "flag": True, "choice": "c"}, False, id="choice unknown"),
        pytest.param({"prompt": "x", "photo": ASSET, "photos": [ASSET]}, True, id="files"),
        pytest.param({"prompt": "x", "photos": [ASSET] * 3}, False, id="many files"),
        pytest.param({"prompt": "x", "model": "sd15.safetensors"}, True, id="model"),
        pytest.param({"prompt": "x", "model": "nobody.safetensors"}, False, id="model unknown"),
        pytest.param({"prompt": "x", "loras": ["x.safetensors"]}, True, id="lora"),
        pytest.param({"prompt": "x", "loras": [{"name": "x.safetensors", "strength": 2}]}, True, id="strong lora"),
        pytest.param({"prompt": "x", "loras": [{"name": "x.safetensors", "strength": 3}]}, False, id="too strong"),
        pytest.param({"prompt": "x", "lora_strength": 1}, True, id="strength of all"),
        pytest.param({"prompt": "x", "lora_strength": 3}, False, id="strength above"),
        pytest.param({"prompt": "x", "seed": -1}, True, id="seed"),
        pytest.param({"prompt": "x", "seed": -2}, False, id="seed below"),
        pytest.param({"prompt": "x", "size": "1:1"}, True, id="tile"),
        pytest.param({"prompt": "x", "size": "640x480"}, True, id="size"),
        pytest.param({"prompt": "x", "size": {"width": 64, "height": 999}}, True, id="sides"),
        pytest.param({"prompt": "x", "size": "3:2"}, False, id="no tile"),
        pytest.param({"prompt": "x", "stepz": 3}, False, id="unknown"),
    ],
)
def test_the_schema_agrees_with_what_is_taken(said: dict[str, Any], good: bool) -> None:
    validator = Draft202012Validator(schema.of(MADE, models=_models))

    try:
        values.read(MADE, said, models=_models)
    except InvalidParameter:
        taken = False
    else:
        taken = True

    assert (taken, validator.is_valid(said)) == (good, good)


def test_the_schema_is_one() -> None:
    assert meta.is_valid(schema.of(MADE, models=_models))


def test_labels_are_in_the_language() -> None:
    assert schema.of(MADE, "pt")["properties"]["choice"]["x-labels"] == {"a": "Um A"}
    assert schema.wire(MADE, "en")["choice"]["choices"] == [{"value": "a", "label": "An A"}, {"value": "b"}]


def test_an_example_is_what_generate_takes() -> None:
    payload = schema.payload(MADE)

    said = payload["params"] | {"prompt": payload["prompt"][:9]}
    assert payload["workflow_id"] == "boats"
    assert values.read(MADE, said).params["prompt"] == "a lightho"
