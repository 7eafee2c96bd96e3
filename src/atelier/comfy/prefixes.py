"""Names of files in a graph: where outputs go, and which inputs name files of the server."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from atelier.comfy.catalog import as_list
from atelier.comfy.links import Graph, is_link, unwrapped

PREFIX_INPUT = "filename_prefix"
_LOADED = {
    "LoadImage": ("image",),
    "LoadImageMask": ("image",),
    "LoadImageOutput": ("image",),
    "LoadAudio": ("audio",),
    "LoadVideo": ("file",),
    "VHS_LoadVideo": ("video",),
    "VHS_LoadAudioUpload": ("audio",),
    "Load3D": ("model_file",),
    "LoadLatent": ("latent",),
}
_DRIVE = re.compile(r"^[A-Za-z]:")


@dataclass(frozen=True, slots=True)
class LoaderInput:
    """An input that names a file in the server's input folder (or, by ` [output]`, another one)."""

    node_id: str
    class_type: str
    name: str
    value: str


def loader_inputs(graph: Graph, *catalogues: Mapping[str, Any]) -> list[LoaderInput]:
    """The inputs that name files and are given as text.

    Those are the inputs of the known loaders, and all that any of these catalogues (/object_info of a server)
    marks as uploads (`image_upload`, `video_upload`, …).
    """
    return list(_loader_inputs(graph, catalogues))


def _loader_inputs(graph: Graph, catalogues: Sequence[Mapping[str, Any]]) -> Iterator[LoaderInput]:
    file_inputs = _file_inputs(graph, catalogues)
    for node_id, node in graph.items():
        class_type = node["class_type"]
        for name in file_inputs[class_type]:
            for text in texts(node["inputs"].get(name)):
                yield LoaderInput(node_id, class_type, name, text)


def linked_loaders(graph: Graph, *catalogues: Mapping[str, Any]) -> Iterator[LoaderInput]:
    """The same inputs where a link feeds them; the value is the id of the node that will name the file."""
    file_inputs = _file_inputs(graph, catalogues)
    for node_id, node in graph.items():
        class_type = node["class_type"]
        for name in file_inputs[class_type]:
            value = unwrapped(node["inputs"].get(name))
            if is_link(value):
                yield LoaderInput(node_id, class_type, name, cast("list[str]", value)[0])


def texts(value: object) -> Iterator[str]:
    """The text that an input is given, or those that it is given as a list of choices."""
    inner = unwrapped(value)
    if isinstance(inner, str):
        yield inner
    elif not is_link(inner) and (several := as_list(inner)) is not None:
        yield from (one for one in several if isinstance(one, str))


def _file_inputs(graph: Graph, catalogues: Sequence[Mapping[str, Any]]) -> Mapping[str, Sequence[str]]:
    """By class: a graph may have thousands of nodes, and a fleet hundreds of catalogues."""
    classes = {str(node["class_type"]) for node in graph.values()}
    return {
        class_type: sorted({*_LOADED.get(class_type, ()), *_uploads_of(class_type, catalogues)})
        for class_type in classes
    }


def _uploads_of(class_type: str, catalogues: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for catalogue in catalogues:
        if class_type in catalogue:
            yield from _uploads(catalogue[class_type])


def _uploads(info: object) -> Iterator[str]:
    """The names of inputs whose options say that the editor offers an upload for them."""
    groups = _table(_table(info).get("input"))
    for group in ("required", "optional"):
        for name, declared in _table(groups.get(group)).items():
            match declared:
                case [_, options, *_] if any(key.endswith("_upload") for key in _table(options)):
                    yield name
                case _:
                    continue


def _table(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def stays_inside(value: str) -> bool:
    """Whether a file's name stays in its folder.

    A server joins names without a look at them: `/dev/zero` in a loader, even in one that nothing uses, is read
    without end, and `../` reaches other folders' files.
    """
    parts = value.replace("\\", "/").split("/")
    return ".." not in parts and not value.startswith(("/", "\\", "~")) and not _DRIVE.match(value)


def rewrite_prefixes(graph: Graph, prefix: str) -> Graph:
    """A copy in which every saving node writes under `prefix/`, and cannot leave it.

    A server makes a text of whatever stands there. What comes over a link is known only while the graph runs.
    """
    return {node_id: _under(node, prefix) for node_id, node in graph.items()}


def _under(node: dict[str, Any], prefix: str) -> dict[str, Any]:
    inputs = cast("dict[str, Any]", node["inputs"])
    if PREFIX_INPUT not in inputs:
        return node
    wanted = unwrapped(inputs[PREFIX_INPUT])
    if isinstance(wanted, list):
        return node
    return {**node, "inputs": {**inputs, PREFIX_INPUT: f"{prefix}/{tame(str(wanted))}"}}


def tame(wanted: str) -> str:
    """A relative path without `..`, drives and backslashes; "ComfyUI" when nothing is left.

    What cannot be printed becomes `_`: a server repeats the name in a header of /view, where a line break ends the
    connection without an answer.
    """
    wanted = "".join(char if char.isprintable() else "_" for char in wanted.strip())
    parts = _DRIVE.sub("", wanted).replace("\\", "/").split("/")
    kept = [part.strip() for part in parts if part.strip() not in {"", ".", ".."}]
    tail = "/" if wanted.endswith("/") and kept else ""
    return "/".join(kept) + tail if kept else "ComfyUI"
