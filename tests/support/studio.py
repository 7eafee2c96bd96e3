"""Two workflows that everybody may run: boats from words, and retouching with a picture and a mask."""

import base64
from typing import Any

from atelier.comfy.graph import Graph
from atelier.kit.database import Database
from atelier.workflows import service
from atelier.workflows.model import Origin
from atelier.workflows.registry import Registry
from support.workshop import GRAPH, node, revision

RETOUCH: Graph = {
    "1": node("LoadImage", "Photo", image="photo.png"),
    "2": node("LoadImageMask", "Mask", image="mask.png", channel="red"),
    "3": node("ImageInvert", "Invert", image=["1", 0]),
    "4": node("MaskToImage", "Shown", mask=["2", 0]),
    "5": node("SaveImage", "Save", images=["3", 0], filename_prefix="x"),
    "6": node("PreviewImage", "Look", images=["4", 0]),
}


def binds(title: str, name: str) -> dict[str, str]:
    return {"node": title, "input": name}


RETOUCHING: dict[str, Any] = {
    "name": "Retouch",
    "category": "inpaint",
    "price": 0,
    "parameters": {"prefix": {"type": "string", "default": "x", "bind": binds("Save", "filename_prefix")}},
    "inputs": {
        "input_image": {"type": "image", "required": True, "bind": binds("Photo", "image")},
        "mask": {"type": "mask", "required": True, "bind": binds("Mask", "image")},
    },
    "examples": None,
}


async def open_studio(database: Database, registry: Registry) -> None:
    """Both are published."""
    async with database.transaction() as tx:
        await service.put(tx, revision("boats", GRAPH), Origin.SHIPPED)
        await service.put(tx, revision("retouch", RETOUCH, **RETOUCHING), Origin.SHIPPED)
    await registry.refresh()


def data_uri(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
