from typing import Any

import pytest

from atelier.dialects.comfyui.summaries import normalized, summary


def item(filename: str, kind: str = "output", **more: Any) -> dict[str, Any]:
    return {"filename": filename, "subfolder": "", "type": kind, **more}


def test_nothing_made_is_nothing_to_show() -> None:
    assert summary({}) == {"outputs_count": 0, "previewable_outputs_count": 0, "preview_output": None}


def test_a_saved_picture_goes_before_a_passing_one_and_both_before_texts() -> None:
    outputs = {
        "1": {"text": ["first"]},
        "2": {"text": [item("t.txt")]},
        "3": {"images": [item("p.png", "temp")], "animated": [True]},
        "4": {"images": [item("s.png")]},
    }

    shown = summary(outputs)

    assert shown["outputs_count"] == 3
    assert shown["previewable_outputs_count"] == 3
    assert shown["preview_output"] == item("s.png", nodeId="4", mediaType="images")
    del outputs["4"]
    assert summary(outputs)["preview_output"]["nodeId"] == "3"
    del outputs["3"]
    assert summary(outputs)["preview_output"]["nodeId"] == "2"
    del outputs["2"]
    assert summary(outputs)["preview_output"] == {"content": "first", "nodeId": "1", "mediaType": "text"}


def test_a_long_text_is_cut() -> None:
    shown = summary({"1": {"text": ["x" * 2_000]}})["preview_output"]

    assert (len(shown["content"]), shown["truncated"]) == (1024, True)


@pytest.mark.parametrize(
    ("media", "made", "previewable"),
    [
        ("gifs", item("x.mp4", format="video/h264-mp4"), 1),
        ("gifs", item("x.mp4"), 0),
        ("latents", item("x.latent"), 0),
        ("files", item("x.GLB"), 1),
        ("files", item("x.json"), 1),
        ("audio", item("x.flac"), 1),
    ],
)
def test_what_can_be_shown_is_known_by_its_place_its_format_or_its_name(
    media: str, made: dict[str, Any], previewable: int
) -> None:
    shown = summary({"1": {media: [made]}})

    assert (shown["outputs_count"], shown["previewable_outputs_count"]) == (1, previewable)
    assert (shown["preview_output"] is not None) == bool(previewable)


def test_a_solid_that_a_node_names_by_a_text_is_a_file() -> None:
    outputs = {"1": {"result": ["mesh.glb", "a word", None, 5]}}

    assert summary(outputs)["outputs_count"] == 1
    assert summary(outputs)["preview_output"]["mediaType"] == "3d"
    assert normalized(outputs)["1"]["result"] == [
        {"filename": "mesh.glb", "type": "output", "subfolder": "", "mediaType": "3d"},
        "a word",
        5,
    ]


@pytest.mark.parametrize("odd", [None, [], "x", {"images": None}, {"images": {}}, {"images": [[], None, 5]}])
def test_odd_outputs_of_custom_nodes_count_for_nothing(odd: object) -> None:
    assert summary({"1": odd}) == {"outputs_count": 0, "previewable_outputs_count": 0, "preview_output": None}
    assert "1" in normalized({"1": odd})
