"""A node class as the editor sees it: its inputs in order, with those that the editor adds itself."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from atelier.comfy.catalog import InputSpec, as_object, parse_node
from atelier.fleet.union import ordered
from atelier.workflows.converting import widgets
from atelier.workflows.converting.exported import type_text

MEDIA = ("image_upload", "video_upload", "animated_image_upload")
HEARD = frozenset({"LoadAudio", "SaveAudio", "PreviewAudio", "SaveAudioMP3", "SaveAudioOpus", "SaveAudioAdvanced"})
SEEN_IN_3D = frozenset({"Preview3D", "SaveGLB"})


@dataclass(frozen=True, slots=True)
class NodeClass:
    """`inputs` are in the order in which the editor draws them."""

    name: str
    title: str
    inputs: tuple[InputSpec, ...]
    outputs: tuple[str, ...]
    is_output: bool


class Classes:
    """The classes of /object_info, each read once."""

    def __init__(self, object_info: Mapping[str, Any]) -> None:
        self._raw = object_info
        self.get = functools.cache(self._read)

    def _read(self, name: str) -> NodeClass | None:
        entry = as_object(self._raw.get(name))
        return None if entry is None else _read(name, entry)


def _read(name: str, entry: Mapping[str, Any]) -> NodeClass:
    spec = parse_node(name, ordered(entry))
    title = entry.get("display_name")
    return NodeClass(
        name,
        title if isinstance(title, str) and title else name,
        _with_added(name, spec.inputs, in_order=bool(as_object(entry.get("input_order")))),
        tuple(_output(one) for one in spec.outputs),
        spec.is_output,
    )


def _output(raw: Any) -> str:
    kind = type_text(raw)
    return "*" if kind == widgets.MATCH_TYPE else kind


def _with_added(name: str, inputs: Sequence[InputSpec], *, in_order: bool) -> tuple[InputSpec, ...]:
    """The editor's own inputs come last where the class says its order, else behind the required ones."""
    added = _added(name, inputs)
    if in_order:
        return (*inputs, *added)
    needed = [one for one in inputs if one.required]
    return (*needed, *added, *(one for one in inputs if not one.required))


def _added(name: str, inputs: Sequence[InputSpec]) -> list[InputSpec]:
    """The button of a file to upload, the player of a sound, the view of a scene."""
    needed = [one for one in inputs if one.required]
    found = [InputSpec("audioUI", widgets.AUDIO_UI, {}, required=True)] if name in HEARD else []
    if any(one.name == "audio" and one.options.get("audio_upload") is True for one in needed):
        found.append(InputSpec("upload", widgets.AUDIO_UPLOAD, {}, required=True))
    elif any(_takes_media(one) for one in needed):
        found.append(InputSpec("upload", widgets.UPLOAD, {}, required=True))
    if name in SEEN_IN_3D:
        found.append(InputSpec("image", widgets.PREVIEW_3D, {}, required=True))
    return found


def _takes_media(spec: InputSpec) -> bool:
    return widgets.kind_of(spec) == widgets.COMBO and any(spec.options.get(key) is True for key in MEDIA)
