"""What a real server said, in small samples: frames of sockets, histories and queues, by recording."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "recordings"


def frames() -> list[tuple[str, dict[str, Any]]]:
    return _all("comfy_frames.json")


def histories() -> list[tuple[str, tuple[str, dict[str, Any]]]]:
    return _all("comfy_histories.json")


def queues() -> list[tuple[str, dict[str, Any]]]:
    return _all("comfy_queues.json")


def object_info() -> dict[str, Any]:
    """The whole catalogue of ComfyUI 0.3.64 (435 classes), without any model file."""
    document: dict[str, Any] = json.loads(gzip.decompress((FOLDER / "object_info.json.gz").read_bytes()))
    return document


def binary(frame: dict[str, Any]) -> bytes:
    return base64.b64decode(frame["b64"])


def _all(name: str) -> list[tuple[str, Any]]:
    table = json.loads((FOLDER / name).read_text())
    return [(recording, item) for recording, items in table.items() for item in items]
