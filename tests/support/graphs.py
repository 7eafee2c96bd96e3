"""Small graphs in API format."""

from typing import Any


def picture(width: int = 64, color: int = 0) -> dict[str, Any]:
    """An empty image, saved."""
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": width, "height": 64, "batch_size": 1, "color": color},
        },
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "picture"}},
    }


def with_asset(asset_id: object) -> dict[str, Any]:
    """An asset, loaded and saved."""
    reference = {"__type": "core/ASSET", "info": {"id": asset_id}}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": reference}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "picture"}},
    }
