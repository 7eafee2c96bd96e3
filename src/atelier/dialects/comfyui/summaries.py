"""What the job API says of a job's outputs in short: how many there are, and the one that stands for them.

Counts and ranks are those of ComfyUI's servers of 2026, read in their source (comfy_execution.jobs).
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

_PREVIEWABLE = frozenset({"images", "video", "audio", "3d", "text"})
_SOLID = (".obj", ".fbx", ".gltf", ".glb", ".usdz")
_WRITTEN = (".txt", ".md", ".json")
_PREVIEW_TEXT = 1024

_SAVED, _PASSING, _FILE, _RAW = range(4)
"""What may stand for a job, the best first: a saved picture, a passing one, a text file, a text."""


def summary(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """`outputs_count`, `previewable_outputs_count` and `preview_output` (None where nothing can be shown)."""
    items = list(_items(outputs))
    files = [(media, item) for _, media, item in items if not isinstance(item, str)]
    previews = sorted(_previews(items), key=lambda ranked: ranked[0])
    return {
        "outputs_count": len(files),
        "previewable_outputs_count": sum(_is_previewable(media, item) for media, item in files),
        "preview_output": previews[0][1] if previews else None,
    }


def normalized(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs without nulls in their lists, 3-D files that nodes name by a mere text as file items."""
    return {node: _node(shown) for node, shown in outputs.items()}


def _node(shown: object) -> object:
    if not isinstance(shown, dict):
        return shown
    lists = cast("dict[str, object]", shown)
    return {media: _list(media, values) for media, values in lists.items()}


def _list(media: str, values: object) -> object:
    if media == "animated" or not isinstance(values, list):
        return values
    return [_item(value) for value in cast("list[object]", values) if value is not None]


def _item(value: object) -> object:
    if isinstance(value, str) and value.lower().endswith(_SOLID):
        return {"filename": value, "type": "output", "subfolder": "", "mediaType": "3d"}
    return value


def _items(outputs: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any] | str]]:
    """`(node, media, item)`: files as objects, and texts that a node shows."""
    for node, shown in normalized(outputs).items():
        lists = cast("dict[str, object]", shown) if isinstance(shown, dict) else {}
        for media, values in lists.items():
            if media == "animated" or not isinstance(values, list):
                continue
            for value in cast("list[object]", values):
                if isinstance(value, dict):
                    yield node, media, cast("dict[str, Any]", value)
                elif media == "text":
                    yield node, media, str(value)


def _previews(items: list[tuple[str, str, dict[str, Any] | str]]) -> Iterator[tuple[int, dict[str, Any]]]:
    for node, media, item in items:
        if isinstance(item, str):
            cut = {"content": item[:_PREVIEW_TEXT]} | ({"truncated": True} if len(item) > _PREVIEW_TEXT else {})
            yield _RAW, {**cut, "nodeId": node, "mediaType": media}
        elif _is_previewable(media, item):
            yield _rank(media, item), {"mediaType": media, **item, "nodeId": node}


def _is_previewable(media: str, item: Mapping[str, Any]) -> bool:
    form = str(item.get("format") or "")
    return (
        media in _PREVIEWABLE or form.startswith(("video/", "audio/")) or _name(item).endswith(_SOLID + _WRITTEN)
    )


def _rank(media: str, item: Mapping[str, Any]) -> int:
    if media == "text" or _name(item).endswith(_WRITTEN):
        return _FILE
    return _SAVED if item.get("type") == "output" else _PASSING


def _name(item: Mapping[str, Any]) -> str:
    return str(item.get("filename") or "").lower()
