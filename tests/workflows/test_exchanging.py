from atelier.workflows import checking, folders
from atelier.workflows.exchanging import exchanged
from atelier.workflows.model import Manifest, Origin
from atelier.workflows.store.revisions import NewRevision


def shipped(name: str) -> NewRevision:
    read = folders.read(folders.shipped() / name, Origin.SHIPPED)
    assert read.new is not None, read.faults
    return read.new


def default(manifest: Manifest, name: str) -> object:
    parameter = manifest.parameter(name)
    assert parameter is not None
    return parameter.default


def test_a_file_is_exchanged_in_its_node_and_in_the_parameter_that_names_it() -> None:
    old = shipped("cover")
    files = {"Illustrious-XL-v1.0.safetensors": "wai.safetensors", "bbox/face_yolov8m.pt": "bbox/face_yolov9c.pt"}

    manifest, graph = exchanged(old.manifest, old.graph, files)

    named = {value for node in graph.values() for value in node["inputs"].values() if isinstance(value, str)}
    assert default(manifest, "model") == "wai.safetensors"
    assert {"wai.safetensors", "bbox/face_yolov9c.pt"} <= named
    assert not named & files.keys()
    assert checking.structure(manifest, graph) == []


def test_a_choice_that_is_exchanged_for_another_stands_once() -> None:
    old = shipped("sticker")

    manifest, graph = exchanged(old.manifest, old.graph, {"RMBG-1.4": "RMBG-2.0"})

    parameter = manifest.parameter("background_model")
    assert parameter is not None
    assert parameter.default == "RMBG-2.0"
    assert [choice.value for choice in parameter.choices] == ["RMBG-2.0", "Inspyrenet", "BEN2"]
    assert any(node["inputs"].get("rem_mode") == "RMBG-2.0" for node in graph.values())


def test_words_that_mention_a_file_stay_as_they_are() -> None:
    old = shipped("text-to-image-sdxl")
    words = default(old.manifest, "negative_prompt")
    assert isinstance(words, str)

    manifest, graph = exchanged(old.manifest, old.graph, {words[:6]: "x", "1:1": "y", "euler": "lcm"})

    assert default(manifest, "negative_prompt") == words
    assert default(manifest, "aspect_ratio") == "1:1"
    assert [node["inputs"]["clip"] for node in graph.values() if "clip" in node["inputs"]] == [["1", 1], ["1", 1]]


def test_without_a_name_to_exchange_a_workflow_is_itself() -> None:
    old = shipped("upscale")

    assert exchanged(old.manifest, old.graph, {}) == (old.manifest, old.graph)
    assert exchanged(old.manifest, old.graph, {"nobody.pth": "else.pth"}) == (old.manifest, old.graph)
