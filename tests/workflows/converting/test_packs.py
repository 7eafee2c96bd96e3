"""What scripts of packs keep in files, unknown to the official editor, becomes what those scripts send."""

from typing import Any

from atelier.workflows.converting.convert import convert
from workflows.converting.drawing_board import Board
from workflows.converting.extra_classes import FLOAT, INT, TEXT, made
from workflows.converting.made_graphs import IMAGE_OUT, object_info, picture, saved

FILMS = made("VHS_VideoCombine", {"images": ["IMAGE", {}], "frame_rate": INT, "format": TEXT, "loop": FLOAT})
LORAS = made("Power Lora Loader (rgthree)", {}, {"model": ["MODEL", {}]}, outputs=["MODEL", "CLIP"])
CLASSES = object_info() | {"VHS_VideoCombine": FILMS | {"output_node": True}, LORAS["name"]: LORAS}


def test_values_by_name_go_where_they_belong() -> None:
    board = Board()
    kept: dict[str, Any] = {
        "loop": 0.25,
        "frame_rate": 12,
        "format": "video/h264-mp4",
        "videopreview": {"hidden": False},
    }
    films = board.node("VHS_VideoCombine", kept, {"images": "IMAGE"})
    board.wire(picture(board), 0, films, "images")

    graph = convert(board.file(), CLASSES).graph

    expected = {"frame_rate": 12, "format": "video/h264-mp4", "loop": 0.25, "images": ["2", 0]}
    assert graph["1"]["inputs"] == expected


def test_rows_of_the_power_loader_are_numbered_inputs() -> None:
    board = Board()
    first, second = {"on": True, "lora": "a", "strength": 1}, {"on": False, "lora": "b", "strength": 0.5}
    rows = [{}, {"type": "header"}, first, second, {}, ""]
    board.node("Power Lora Loader (rgthree)", rows, {"model": "MODEL"})
    saved(board, picture(board))

    graph = convert(board.file(), CLASSES).graph

    assert graph["1"]["inputs"] == {"lora_1": first, "lora_2": second}


def test_what_was_set_is_got_by_name_also_inside_of_subgraphs() -> None:
    board = Board()
    image = picture(board)
    setter = board.node("SetNode", ["the picture"], {"IMAGE": "IMAGE"}, {"*": "*"})
    board.wire(image, 0, setter, "IMAGE")
    getter = board.node("GetNode", ["the picture"], {}, IMAGE_OUT)
    saved(board, getter)
    inner = Board(first_id=50)
    inner.gives("out", "IMAGE")
    got = inner.node("easy getNode", ["the picture"], {}, IMAGE_OUT)
    invert = inner.node("ImageInvert", None, {"image": "IMAGE"}, IMAGE_OUT)
    inner.wire(got, 0, invert, "image")
    inner.wire(invert, 0, -20, "out")
    host = board.node("11111111-2222-4333-8444-555555555501", None, {}, {"out": "IMAGE"})
    saved(board, host)

    converted = convert(board.file(inner.subgraph("11111111-2222-4333-8444-555555555501")), CLASSES)

    assert converted.graph["4"]["inputs"]["images"] == [str(image), 0]
    assert converted.graph[f"{host}:51"]["inputs"]["image"] == [str(image), 0]
    assert "named wires" in converted.notes[0]


def test_a_date_in_a_file_name_is_that_of_the_run() -> None:
    board = Board()
    saved(board, picture(board), prefix="%date:yyyy-MM-dd%/%date:hh%_x")

    graph = convert(board.file(), CLASSES).graph

    assert graph["2"]["inputs"]["filename_prefix"] == "%year%-%month%-%day%/%hour%_x"


def test_notes_tell_what_became_of_the_file() -> None:
    board = Board()
    saved(board, picture(board))
    saved(board, picture(board, mode=4))

    assert convert(board.file(), CLASSES).notes == ("1 nodes are muted or bypassed and were left out.",)
