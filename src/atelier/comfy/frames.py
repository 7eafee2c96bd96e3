"""The binary layouts 1, 3 and 4 of a ComfyUI socket (wire contract 8); all numbers are big-endian uint32."""

import json
from typing import Any, cast

from atelier.comfy.model import Message, NodeText, Preview, Unknown
from atelier.kit.ids import parse_uuid

PREVIEW_IMAGE = 1
TEXT = 3
PREVIEW_IMAGE_WITH_METADATA = 4

_FORMATS = {1: "image/jpeg", 2: "image/png"}


def parse_binary(frame: bytes) -> Message | None:
    """The message in a binary frame; None when it is too short to have a type."""
    if len(frame) < 4:
        return None
    kind = _uint32(frame, 0)
    message: Message | None = None
    if kind == PREVIEW_IMAGE:
        message = _preview(frame)
    elif kind == TEXT:
        message = _node_text(frame)
    elif kind == PREVIEW_IMAGE_WITH_METADATA:
        message = _preview_with_metadata(frame)
    return message or Unknown(f"binary:{kind}", frame)


def _preview(frame: bytes) -> Preview | None:
    """Format numbers above 2 belong to custom nodes."""
    content_type = _FORMATS.get(_uint32(frame, 4)) if len(frame) >= 8 else None
    return Preview(None, None, content_type, frame[8:]) if content_type else None


def _preview_with_metadata(frame: bytes) -> Preview | None:
    block = _block(frame, 4)
    metadata = _json_object(block) if block is not None else None
    if block is None or metadata is None:
        return None
    content_type = metadata.get("image_type")
    if not isinstance(content_type, str):
        return None
    image = frame[8 + len(block) :]
    return Preview(_text(metadata.get("prompt_id")), _text(metadata.get("node_id")), content_type, image)


def _node_text(frame: bytes) -> NodeText | None:
    """Both variants: `node id, text`, and, told by a canonical UUID in front, `prompt id, node id, text`."""
    first = _string_block(frame, 4)
    if first is None:
        return None
    after = 8 + len(first.encode())
    if parse_uuid(first) is not None:
        second = _string_block(frame, after)
        if second is not None:
            return _text_of(frame, after + 4 + len(second.encode()), first, second)
    return _text_of(frame, after, None, first)


def _text_of(frame: bytes, start: int, prompt_id: str | None, node_id: str) -> NodeText:
    return NodeText(prompt_id, node_id, frame[start:].decode("utf-8", "replace"))


def _block(frame: bytes, start: int) -> bytes | None:
    """The bytes behind a length at `start`; None when the frame ends before they do."""
    if len(frame) < start + 4:
        return None
    end = start + 4 + _uint32(frame, start)
    return frame[start + 4 : end] if end <= len(frame) else None


def _string_block(frame: bytes, start: int) -> str | None:
    block = _block(frame, start)
    try:
        return None if block is None else block.decode()
    except UnicodeDecodeError:
        return None


def _json_object(block: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(block)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", document) if isinstance(document, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _uint32(frame: bytes, start: int) -> int:
    return int.from_bytes(frame[start : start + 4], "big")
