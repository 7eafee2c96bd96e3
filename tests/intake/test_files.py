"""A graph reaches its own account's files by core/ASSET, and nobody else's by any name."""

import pytest

from atelier.comfy.graph import InvalidWorkflow
from atelier.intake.rules import check_files


def loading(name: str, class_type: str = "LoadImage", key: str = "image") -> dict[str, dict[str, object]]:
    return {"1": {"class_type": class_type, "inputs": {key: name}}}


@pytest.mark.parametrize(
    "name",
    [
        "x_00001_.png [output]",
        "atelier/20261121/whose/x_00001_.png [output]",
        "preview.png [temp]",
        "preview.png [TEMP] ",
        "atelier/0a1b.png",
        "ATELIER\\0a1b.png",
        "./atelier/0a1b.png [input]",
    ],
)
def test_a_name_of_somebody_elses_file_is_refused(name: str) -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        check_files(loading(name), [])

    assert refused.value.details is not None
    assert refused.value.details["node_errors"]["1"]["errors"][0]["type"] == "custom_validation_failed"


@pytest.mark.parametrize("name", ["example.png", "mine/example.png", "atelier.png", "example.png [input]"])
def test_an_operators_file_may_be_named(name: str) -> None:
    named = loading(name)

    check_files(named, [])

    assert named == loading(name)


def test_a_loader_that_only_the_server_knows_is_looked_at_too() -> None:
    catalogue = {"Custom": {"input": {"required": {"clip": [["a.mp4"], {"video_upload": True}]}}}}

    with pytest.raises(InvalidWorkflow):
        check_files(loading("atelier/0a1b.mp4", "Custom", "clip"), [catalogue])
    check_files(loading("atelier/0a1b.mp4", "Custom", "clip"), [])
