"""What a client is shown of a run has its own ids and names, and no place of ours."""

import json
import struct
from typing import Any

import pytest

from atelier.comfy.messages import NodeText, Preview, parse_binary
from atelier.comfy.rewriting import (
    MAX_TEXT,
    Terms,
    binary_frame,
    event_data,
    folder_of,
    message,
    run_folder,
    text_frame,
    value,
    written_names,
)

THEIRS, OURS = "11111111-1111-5111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
FOLDER = run_folder("20261121", THEIRS)
PLACED = f"atelier/{'ab' * 32}-0a1b2c.png"
TERMS = Terms(THEIRS, OURS, 1234, {PLACED: "my cat.png [input]"})


def metadata_frame(prompt_id: str, picture: bytes) -> bytes:
    head = json.dumps({"node_id": "3", "prompt_id": prompt_id, "image_type": "image/png"}).encode()
    return struct.pack(">II", 4, len(head)) + head + picture


def text_with_id(prompt_id: str, text: str) -> bytes:
    blocks = b"".join(struct.pack(">I", len(block)) + block for block in (prompt_id.encode(), b"3"))
    return struct.pack(">I", 3) + blocks + text.encode()


def test_ids_are_exchanged_wherever_they_stand() -> None:
    frame = message("progress_state", {"prompt_id": THEIRS, "nodes": {"3": {"prompt_id": THEIRS, "value": 1}}})

    assert json.loads(text_frame(frame, TERMS)) == {
        "type": "progress_state",
        "data": {"prompt_id": OURS, "nodes": {"3": {"prompt_id": OURS, "value": 1}}},
    }


@pytest.mark.parametrize(
    "frame",
    ['{"type": "pack.event", "data": {"x": 1e5, "t": "\\u00e9 [a]"}, "more": 1}', '{"type":"x","data":null}'],
)
def test_events_that_nobody_knows_pass_untouched(frame: str) -> None:
    assert text_frame(frame, TERMS) == frame


def test_a_text_begins_with_its_type_however_the_server_spells_it() -> None:
    text = text_frame('{ "data": {"prompt_id": "' + THEIRS + '"}, "type": "x" }', TERMS)

    assert text.startswith('{"type": "x", "data": {')
    assert json.loads(text) == {"type": "x", "data": {"prompt_id": OURS}}


def test_pictures_and_texts_with_an_id_get_the_clients_id_and_nothing_else() -> None:
    picture = b"\x89PNG" + THEIRS.encode() + bytes(range(256))

    shown = parse_binary(binary_frame(metadata_frame(THEIRS, picture), TERMS))
    text = parse_binary(binary_frame(text_with_id(THEIRS, f"of {THEIRS}"), TERMS))

    assert shown == Preview(OURS, "3", "image/png", picture)
    assert text == NodeText(OURS, "3", f"of {THEIRS}")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\0",
        b"\0\0\0\1\0\0\0\2" + THEIRS.encode(),
        b"\0\0\0\x0a" + THEIRS.encode(),
        b"\0\0\0\4\xff\xff\xff\xffx",
    ],
)
def test_other_binary_frames_pass_byte_for_byte(frame: bytes) -> None:
    assert binary_frame(frame, TERMS) == frame


def shown(**item: Any) -> Any:
    return value({"images": [item]}, TERMS)["images"][0]


def test_files_are_shown_where_the_graph_wanted_them_under_names_of_their_own() -> None:
    assert shown(filename="x_00001_.png", subfolder=f"{FOLDER}/sub", type="output") == {
        "filename": "x_01234_.png",
        "subfolder": "sub",
        "type": "output",
    }
    assert shown(filename="x_00002_.png", subfolder=FOLDER.replace("/", "\\"), type="output") == {
        "filename": "x_01234-00002_.png",
        "subfolder": "",
        "type": "output",
    }
    assert shown(filename="ComfyUI_temp_abcde_00001_.png", subfolder="", type="temp")["filename"] == (
        "ComfyUI_temp_abcde_01234_.png"
    )


def test_what_packs_add_to_a_file_stays_without_our_folders() -> None:
    item = shown(
        filename="v_00001.mp4",
        subfolder=FOLDER,
        type="output",
        fullpath=f"/out/{FOLDER}/v_00001.mp4",
        frame_rate=8.0,
    )

    assert item == {
        "filename": "v_01234.mp4",
        "subfolder": "",
        "type": "output",
        "fullpath": "/out/v_00001.mp4",
        "frame_rate": 8.0,
    }


def test_an_input_is_called_what_the_client_called_it() -> None:
    folder, _, name = PLACED.partition("/")

    assert shown(filename=name, subfolder=folder, type="input") == {
        "filename": "my cat.png",
        "subfolder": "",
        "type": "input",
    }
    foreign = {"filename": "other.png", "subfolder": "", "type": "input"}
    assert shown(**foreign) == foreign


def test_names_that_were_placed_are_known_from_the_graphs() -> None:
    placed = {"1": {"class_type": "LoadImage", "inputs": {"image": PLACED}}}
    wrote = {"1": {"image": "sub/cat.png"}, "2": {"image": "gone.png"}}

    assert written_names(placed, wrote) == {PLACED: "sub/cat.png"}


def test_a_failure_names_no_place_of_ours_and_is_no_book() -> None:
    told = event_data(
        "execution_error",
        {
            "prompt_id": THEIRS,
            "current_inputs": {"image": [PLACED], "prefix": [f"{FOLDER}/mine/x"], "text": ["x" * 1_000_000]},
            "traceback": [f'File "/in/{PLACED}"', f"C:\\out\\{FOLDER}\\y".replace("/", "\\")],
        },
        TERMS,
    )

    assert told["prompt_id"] == OURS
    assert told["current_inputs"]["image"] == ["my cat.png [input]"]
    assert told["current_inputs"]["prefix"] == ["mine/x"]
    assert told["traceback"] == ['File "/in/my cat.png [input]"', "C:\\out\\y"]
    [text] = told["current_inputs"]["text"]
    assert text == "x" * MAX_TEXT + "… (1000000 characters in all)"


def test_what_is_nested_without_end_harms_nobody() -> None:
    deep: Any = "bottom"
    for _ in range(900):
        deep = {"filename": "x.png", "more": [deep]}

    assert "bottom" not in json.dumps(event_data("execution_error", {"shown": deep}, TERMS))


def test_a_failure_repeats_no_secret_that_its_node_was_given() -> None:
    terms = Terms(THEIRS, OURS, 1, secrets=frozenset({"sk-1234"}))

    told = event_data("execution_error", {"current_inputs": {"api_key_comfy_org": ["sk-1234"]}}, terms)

    assert told == {"current_inputs": {"api_key_comfy_org": ["…"]}}


def test_messages_without_files_lose_our_places_too() -> None:
    frame = message("pack.saved", {"path": f"C:\\out\\{FOLDER}\\y".replace("/", "\\"), "from": PLACED})

    assert json.loads(text_frame(frame, TERMS))["data"] == {"path": "C:\\out\\y", "from": "my cat.png [input]"}


@pytest.mark.parametrize(
    ("subfolder", "folder"),
    [
        (f"{FOLDER}/sub", FOLDER),
        (FOLDER, FOLDER),
        ("sub", ""),
        ("atelier/other", ""),
        ("", ""),
        (FOLDER.replace("/", "\\") + "\\a", FOLDER),
    ],
)
def test_a_runs_folder_is_found_at_the_beginning(subfolder: str, folder: str) -> None:
    assert folder_of(subfolder) == folder
