"""Small graphs, whole and broken."""

from typing import Any


def picture(**inputs: Any) -> dict[str, Any]:
    """EmptyImage -> SaveImage; `inputs` are added to the saving node."""
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 7}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x", **inputs}},
    }


def with_node(node_id: str, class_type: str, **inputs: Any) -> dict[str, Any]:
    """The picture, and one more node beside it."""
    return {**picture(), node_id: {"class_type": class_type, "inputs": inputs}}


def chain(length: int) -> dict[str, Any]:
    """The picture, and a row of `length` nodes that nothing uses."""
    row: dict[str, Any] = {"c0": {"class_type": "EmptyImage", "inputs": {}}}
    for place in range(1, length):
        row[f"c{place}"] = {"class_type": "ImageInvert", "inputs": {"image": [f"c{place - 1}", 0]}}
    return {**picture(), **row}
