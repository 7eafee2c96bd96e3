"""A graph reaches its own account's files by core/ASSET, and nobody else's by any name."""

from typing import Any

import pytest

from atelier.comfy.graph import InvalidWorkflow
from atelier.intake.rules import check_files


def loading(name: object, class_type: str = "LoadImage", key: str = "image") -> dict[str, dict[str, Any]]:
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
        "atelier ./0a1b.png",
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
        check_files(loading("a.mp4 [output]", "Custom", "clip"), [catalogue])
    check_files(loading("a.mp4 [output]", "Custom", "clip"), [])


@pytest.mark.parametrize(
    "name", ["mine/../atelier/0a1b.mp4", "../output/atelier/x.mp4", "/etc/passwd", "C:\\x.mp4"]
)
def test_a_loader_that_only_the_server_knows_stays_in_its_folder(name: str) -> None:
    catalogue = {"Custom": {"input": {"required": {"clip": [["a.mp4"], {"video_upload": True}]}}}}

    with pytest.raises(InvalidWorkflow):
        check_files(loading(name, "Custom", "clip"), [catalogue])


@pytest.mark.parametrize("link", [["2", 0], {"__value__": ["2", 0]}])
def test_a_file_that_another_node_would_name_is_refused(link: object) -> None:
    graph = {**loading(link), "2": {"class_type": "PrimitiveString", "inputs": {"value": "mine.png"}}}

    with pytest.raises(InvalidWorkflow):
        check_files(graph, [])


def test_each_of_several_chosen_files_is_looked_at() -> None:
    graph = loading(["mine.png", "atelier/0a1b.png"])

    with pytest.raises(InvalidWorkflow):
        check_files(graph, [])


@pytest.mark.parametrize("name", ["atelier", "Atelier/", "atelier/sub"])
def test_the_folder_of_placed_files_cannot_be_chosen(name: str) -> None:
    catalogue: dict[str, Any] = {
        "LoadImageSetFromFolderNode": {"input": {"required": {"folder": [["atelier", "mine"], {}]}}}
    }

    with pytest.raises(InvalidWorkflow):
        check_files(loading(name, "LoadImageSetFromFolderNode", "folder"), [catalogue])


@pytest.mark.parametrize(
    ("class_type", "key", "value"),
    [
        ("CLIPTextEncode", "text", "atelier/workshop in the morning sun"),
        ("LoraLoader", "lora_name", "atelier/style.safetensors"),
        ("SaveImage", "filename_prefix", "atelier/mine"),
    ],
)
def test_the_word_may_stand_where_it_names_none_of_these_files(class_type: str, key: str, value: str) -> None:
    catalogue: dict[str, Any] = {
        "CLIPTextEncode": {"input": {"required": {"text": ["STRING", {"multiline": True}]}}},
        "LoraLoader": {"input": {"required": {"lora_name": [["atelier/style.safetensors"], {}]}}},
    }
    named = loading(value, class_type, key)

    check_files(named, [catalogue])

    assert named == loading(value, class_type, key)
