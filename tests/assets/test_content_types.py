import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from atelier.assets.content_types import HEAD_BYTES, UNKNOWN, extension, sniff


def picture(form: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, form)
    return file.getvalue()


def box(brand: bytes) -> bytes:
    return struct.pack(">I", 24) + b"ftyp" + brand + b"\0\0\2\0mp41isom"


SAFETENSORS = struct.pack("<Q", 60) + b'{"weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}    '

KINDS = [
    (picture("PNG"), "image/png"),
    (picture("JPEG"), "image/jpeg"),
    (picture("WEBP"), "image/webp"),
    (picture("GIF"), "image/gif"),
    (picture("AVIF"), "image/avif"),
    (box(b"isom"), "video/mp4"),
    (box(b"mp42"), "video/mp4"),
    (box(b"qt  "), "video/quicktime"),
    (box(b"M4A "), "audio/mp4"),
    (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm", "video/webm"),
    (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x88matroska", "video/x-matroska"),
    (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
    (b"RIFF\x24\0\0\0AVI LIST", UNKNOWN),
    (b"ID3\x04\0\0\0\0\0\0", "audio/mpeg"),
    (b"\xff\xfb\x90\x64" + b"\0" * 100, "audio/mpeg"),
    (b"fLaC\0\0\0\x22", "audio/flac"),
    (b"OggS\0\2", "audio/ogg"),
    (b'\n {"a": 1}', "application/json"),
    (b"[1]", "application/json"),
    ("Grüße\n".encode(), "text/plain"),
    (b"<html><script>", "text/plain"),
    (SAFETENSORS, "application/x-safetensors"),
    (b"", UNKNOWN),
    (b"\0\1\2", UNKNOWN),
    (b"text with \0 in it", UNKNOWN),
    (b"\xff\xff\xff\xff", UNKNOWN),
]


@pytest.mark.parametrize(
    ("head", "media_type"), KINDS, ids=[f"{kind}-{number}" for number, (_, kind) in enumerate(KINDS)]
)
def test_a_file_is_known_by_its_first_bytes(head: bytes, media_type: str) -> None:
    assert sniff(head) == media_type


def test_text_that_is_cut_inside_a_letter_is_still_text() -> None:
    assert sniff(("x" * (HEAD_BYTES - 1) + "ä").encode()[:HEAD_BYTES]) == "text/plain"
    assert sniff(("x" * (HEAD_BYTES - 2) + "😀").encode()[:HEAD_BYTES]) == "text/plain"


@given(st.binary(max_size=64))
def test_any_bytes_are_something(head: bytes) -> None:
    assert "/" in sniff(head)


def test_a_kind_has_its_extension() -> None:
    assert (extension("image/jpeg"), extension("text/plain; charset=utf-8"), extension(UNKNOWN)) == (
        ".jpg",
        ".txt",
        "",
    )
