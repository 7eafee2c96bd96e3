"""The workflow inside of what ComfyUI saved is found, whatever else the file is; nothing of it is trusted."""

import io
import json
import struct
import zlib
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from atelier.kit.errors import Refusal
from atelier.workflows.converting.finding import MOST_SIGNS, MOST_TEXTS, NoWorkflow, found

EXPORT: dict[str, Any] = {"nodes": [{"id": 1, "type": "Note", "widgets_values": ["é"]}], "links": []}
GRAPH: dict[str, Any] = {"1": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}}}


def png(**texts: str) -> bytes:
    info = PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    return _saved("PNG", pnginfo=info)


def _saved(kind: str, **more: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, kind, **more)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    crc = zlib.crc32(kind + body)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def film(container: str, **tags: str) -> bytes:
    file = io.BytesIO()
    options = {"movflags": "use_metadata_tags"} if container == "mp4" else {}
    with av.open(file, "w", format=container, options=options) as out:
        out.metadata.update(tags)
        stream = out.add_stream("mpeg4", rate=8)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        for packet in (*stream.encode(frame), *stream.encode()):
            out.mux(packet)
    return file.getvalue()


def test_in_json() -> None:
    assert found(json.dumps(EXPORT).encode()).document == EXPORT
    assert found(b"\xef\xbb\xbf" + json.dumps(GRAPH).encode()).api
    assert found(json.dumps({"prompt": GRAPH, "client_id": "x"}).encode()).document == GRAPH


def test_in_a_picture_the_graph_that_ran_stands_before_what_the_editor_keeps() -> None:
    content = png(workflow=json.dumps(EXPORT), prompt=json.dumps(GRAPH))

    assert found(content).document == GRAPH
    assert found(png(workflow=json.dumps(EXPORT))).document == EXPORT
    assert found(png(workflow=json.dumps(EXPORT), prompt="{broken")).document == EXPORT


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iTXt compressed"])
def test_in_every_kind_of_text_that_a_png_has(kind: bytes) -> None:
    text = json.dumps(EXPORT).encode()
    body = {
        b"tEXt": b"workflow\0" + text,
        b"zTXt": b"workflow\0\0" + zlib.compress(text),
        b"iTXt": b"workflow\0\0\0\0\0" + text,
        b"iTXt compressed": b"workflow\0\1\0\0\0" + zlib.compress(text),
    }[kind]
    whole = png()

    content = whole[:33] + chunk(kind[:4], body) + whole[33:]

    assert found(content).document == EXPORT


@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
def test_in_exif(kind: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "workflow:" + json.dumps(EXPORT)
    comment = Image.Exif()
    comment.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + json.dumps({"prompt": GRAPH}).encode("utf-16-le")

    assert found(_saved(kind, exif=exif)).document == EXPORT
    assert found(_saved(kind, exif=comment)).document == GRAPH


@pytest.mark.parametrize("container", ["mp4", "matroska", "webm"])
def test_in_the_tags_of_a_film(container: str) -> None:
    made = "matroska" if container == "webm" else container

    assert found(film(made, workflow=json.dumps(EXPORT))).document == EXPORT
    assert found(film(made, comment=json.dumps({"workflow": EXPORT, "prompt": json.dumps(GRAPH)}))).api


def test_a_text_that_unpacks_to_gigabytes_is_not_unpacked() -> None:
    bomb = b"workflow\0\0" + zlib.compress(b" " * 40_000_000 + b"{}")

    with pytest.raises(NoWorkflow):
        found(png()[:33] + chunk(b"zTXt", bomb))


def test_of_thousands_of_texts_few_are_unpacked() -> None:
    empty = chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"{}"))
    whole = chunk(b"tEXt", b"workflow\0" + json.dumps(EXPORT).encode())

    assert found(png()[:33] + empty * (MOST_TEXTS - 1) + whole).document == EXPORT
    with pytest.raises(NoWorkflow):
        found(png()[:33] + empty * MOST_TEXTS + whole)


def test_a_text_of_millions_of_values_is_not_parsed() -> None:
    few, many = ('{"nodes": [' + "[]," * count + "0]}" for count in (MOST_SIGNS // 3, MOST_SIGNS // 2))

    assert len(found(few.encode()).document["nodes"]) == MOST_SIGNS // 3 + 1
    with pytest.raises(NoWorkflow):
        found(many.encode())


def test_a_playlist_opens_nothing() -> None:
    with pytest.raises(NoWorkflow):
        found(b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n")


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from([png(workflow="{}"), _saved("WEBP"), _saved("JPEG")]), st.data())
def test_of_any_bytes_there_is_a_workflow_or_a_refusal(content: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(content) - 1))
    content = content[:place] + data.draw(st.binary(max_size=8)) + content[place + data.draw(st.integers(0, 8)) :]

    with pytest.raises(Refusal):
        found(content)
