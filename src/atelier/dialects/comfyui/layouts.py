"""A binary frame reaches each socket in the layout that its client said it can read (wire contract 8)."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atelier.comfy.frames import PREVIEW_IMAGE, PREVIEW_IMAGE_WITH_METADATA, TEXT, parse_binary
from atelier.comfy.model import NodeText, Preview

_FORMATS = {"image/jpeg": 1, "image/png": 2}
_LIKE_JPEG = 1
"""What the format of a picture without one is taken for, as ComfyUI does."""


@dataclass(frozen=True, slots=True)
class Reader:
    """What a socket's client can read, by the flags that it sent; a client that sent none reads the oldest."""

    previews_with_metadata: bool = False
    texts_with_prompt: bool = False

    def without_metadata(self) -> "Reader":
        """How it reads what is sent to everybody: previews then have no metadata (wire contract 7.4)."""
        return Reader(previews_with_metadata=False, texts_with_prompt=self.texts_with_prompt)


PLAIN = Reader()


def reader_of(flags: Mapping[str, Any]) -> Reader:
    """The flags count if they are true, whatever else a client may have meant."""
    return Reader(
        flags.get("supports_preview_metadata") is True, flags.get("supports_progress_text_metadata") is True
    )


def laid_out(frame: bytes, prompt_id: str, reader: Reader) -> bytes:
    """The frame of this prompt as `reader` can read it; what is no preview and no text stays byte for byte."""
    match int.from_bytes(frame[:4], "big"):
        case kind if kind == PREVIEW_IMAGE_WITH_METADATA and not reader.previews_with_metadata:
            return _without_metadata(frame)
        case kind if kind == TEXT:
            return _text(frame, prompt_id if reader.texts_with_prompt else None)
        case _:
            return frame


def is_result(frame: bytes) -> bool:
    """Whether this is a node's result and not a look at its work: those are JPEG, pictures sent as PNG are meant.

    SaveImageWebsocket delivers what it was given as PNG previews (wire contract 8); unknown kinds may be anything.
    """
    match int.from_bytes(frame[:4], "big"):
        case kind if kind == PREVIEW_IMAGE:
            return frame[4:8] != b"\0\0\0\1"
        case kind if kind == PREVIEW_IMAGE_WITH_METADATA:
            size = int.from_bytes(frame[4:8], "big")
            return b"image/png" in frame[8 : 8 + size]
        case kind:
            return kind != TEXT


def _without_metadata(frame: bytes) -> bytes:
    match parse_binary(frame):
        case Preview(content_type=content_type, image=image):
            return struct.pack(">II", PREVIEW_IMAGE, _FORMATS.get(content_type, _LIKE_JPEG)) + image
        case _:
            return frame


def _text(frame: bytes, prompt_id: str | None) -> bytes:
    match parse_binary(frame):
        case NodeText(node_id=node_id, text=text):
            parts = [node_id] if prompt_id is None else [prompt_id, node_id]
            head = b"".join(_block(part) for part in parts)
            return struct.pack(">I", TEXT) + head + text.encode()
        case _:
            return frame


def _block(text: str) -> bytes:
    return struct.pack(">I", len(text.encode())) + text.encode()


def event(kind: str, data: Mapping[str, Any]) -> str:
    """A text frame: `type` first, as clients that look at the first bytes expect (wire contract 14)."""
    return json.dumps({"type": kind, "data": data})


def event_of(text: str) -> str:
    """The type in a text frame that begins with it; empty if it does not."""
    parts = text[:200].split('"', 4)
    return parts[3] if len(parts) == 5 and parts[1] == "type" else ""
