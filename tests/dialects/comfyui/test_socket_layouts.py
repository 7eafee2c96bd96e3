"""Binary frames are laid out for each reader as recorded, and what is unknown is not touched."""

import json
import struct

from atelier.dialects.comfyui.layouts import PLAIN, Reader, event, event_of, is_result, laid_out, reader_of

PROMPT = "a9daa504-1ce7-4ecc-aed4-512972682f81"
ABOUT = {"node_id": "5", "prompt_id": PROMPT, "display_node_id": "5", "parent_node_id": None, "real_node_id": "5"}
MODERN = reader_of({"supports_preview_metadata": True, "supports_progress_text_metadata": True})


def with_metadata(mime: str, image: bytes = b"image") -> bytes:
    head = json.dumps({**ABOUT, "image_type": mime}).encode()
    return struct.pack(">II", 4, len(head)) + head + image


def text(*parts: str) -> bytes:
    *blocks, words = parts
    head = b"".join(struct.pack(">I", len(part.encode())) + part.encode() for part in blocks)
    return struct.pack(">I", 3) + head + words.encode()


def test_a_socket_without_flags_gets_previews_without_metadata() -> None:
    assert laid_out(with_metadata("image/jpeg"), PROMPT, PLAIN) == struct.pack(">II", 1, 1) + b"image"
    assert laid_out(with_metadata("image/png"), PROMPT, PLAIN) == struct.pack(">II", 1, 2) + b"image"


def test_a_socket_with_flags_gets_previews_as_they_are() -> None:
    frame = with_metadata("image/jpeg")

    assert laid_out(frame, PROMPT, MODERN) is frame


def test_a_text_names_its_prompt_to_those_who_can_read_that() -> None:
    old, new = text("5", "läuft"), text(PROMPT, "5", "läuft")

    assert [laid_out(frame, PROMPT, MODERN) for frame in (old, new)] == [new, new]
    assert [laid_out(frame, PROMPT, PLAIN) for frame in (old, new)] == [old, old]


def test_what_is_unknown_or_broken_stays_byte_for_byte() -> None:
    odd = (
        struct.pack(">I", 10) + b"video",
        struct.pack(">II", 1, 3) + b"film",
        struct.pack(">II", 4, 999) + b"{",
        struct.pack(">II", 3, 999) + b"short",
        b"\0\0",
        b"",
    )

    for reader in (PLAIN, MODERN):
        assert [laid_out(frame, PROMPT, reader) for frame in odd] == list(odd)


def test_only_jpeg_previews_and_texts_are_looks() -> None:
    assert not is_result(with_metadata("image/jpeg"))
    assert not is_result(struct.pack(">II", 1, 1) + b"image")
    assert not is_result(text("5", "half done"))
    assert is_result(with_metadata("image/png"))
    assert is_result(struct.pack(">II", 1, 2) + b"image")
    assert is_result(struct.pack(">I", 10) + b"video")


def test_flags_count_only_when_they_are_true() -> None:
    assert reader_of({"supports_preview_metadata": 1}) == PLAIN
    assert reader_of({"supports_preview_metadata": "yes", "other": True}) == PLAIN
    assert reader_of({"supports_preview_metadata": True}) == Reader(previews_with_metadata=True)


def test_a_message_begins_with_its_type() -> None:
    message = event("status", {"status": 1})

    assert message.startswith('{"type": "status"')
    assert event_of(message) == "status"
    assert event_of('{"type":"executing","data":{}}') == "executing"
    assert event_of('{"data": {}, "type": "executing"}') == ""
    assert event_of("[]") == ""
