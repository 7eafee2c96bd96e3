"""What a server says of a run, in the words of the client that asked for it: its ids and names, no place of ours.

Runs write into folders of their own and load files under names made of their content; both are taken out again.
Events that nobody here knows pass with their ids exchanged, and pictures byte for byte.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, cast

from atelier.comfy.frames import PREVIEW_IMAGE_WITH_METADATA, TEXT
from atelier.comfy.links import Graph
from atelier.comfy.output_names import shown_folder, shown_item

FOLDER = "atelier"
"""The part of a server's folders that is ours."""

BEGINNING = '{"type":'
"""What a text frame begins with: clients tell texts from pictures by it (wire contract 14)."""

MAX_TEXT = 20_000
"""Characters of one text in a failure; a node may be given books."""

HIDDEN = "…"
"""Stands where a secret was."""

MAX_DEPTH = 100

_RUN_FOLDER = re.compile(rf"{FOLDER}([/\\]+)\d{{8}}\1[0-9a-f]{{8}}-[0-9a-f-]{{27}}(?:\1)?")
_WITH_METADATA = frozenset({TEXT, PREVIEW_IMAGE_WITH_METADATA})
_ANNOTATION = re.compile(r" \[(?:input|output|temp)\]$")


def run_folder(day: str, prompt_id: str) -> str:
    """Where a run's files are written, below a server's output folder; `day` is yyyymmdd."""
    return f"{FOLDER}/{day}/{prompt_id}"


def folder_of(subfolder: str) -> str:
    """The run's own folder that a file's subfolder begins with; empty where it does not lie in one."""
    found = _RUN_FOLDER.match(subfolder)
    return found[0].replace("\\", "/").strip("/") if found else ""


@dataclass(frozen=True, slots=True)
class Terms:
    """How one run is called there and here.

    `theirs` is the prompt id that the server knows, `ours` the one that the client does: both canonical UUIDs.
    `position` makes names of files unique. `written` has what the client wrote for a file that was placed on the
    server, by what its loader was given instead. `secrets` are never repeated: a failure lists what its node was
    given, keys of partners among it.
    """

    theirs: str
    ours: str
    position: int
    written: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: frozenset[str] = frozenset()


def written_names(placed: Graph, shown: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """`Terms.written` of a graph as its server got it. `shown`: node and input to what the client wrote there."""
    names: dict[str, str] = {}
    for node_id, inputs in shown.items():
        given: Mapping[str, Any] = placed.get(node_id, {}).get("inputs", {})
        for name, written in inputs.items():
            reference = given.get(name)
            if isinstance(reference, str) and isinstance(written, str):
                names[reference] = written
    return names


def text_frame(frame: str, terms: Terms) -> str:
    """A message as it came, with ids exchanged and places taken out."""
    text = frame
    if FOLDER in text:
        for reference, written in terms.written.items():
            text = text.replace(_escaped(reference), _escaped(written))
        text = _RUN_FOLDER.sub("", text)
    text = text.replace(terms.theirs, terms.ours)
    return text if text.startswith(BEGINNING) else _ordered(text)


def binary_frame(frame: bytes, terms: Terms) -> bytes:
    """The id in what comes before a picture or a text; both ids are equally long, so lengths stay true."""
    if int.from_bytes(frame[:4], "big") not in _WITH_METADATA:
        return frame
    head = 8 + int.from_bytes(frame[4:8], "big")
    return frame[:head].replace(terms.theirs.encode(), terms.ours.encode()) + frame[head:]


def message(event: str, data: Mapping[str, Any]) -> str:
    """A text frame of ours."""
    return json.dumps({"type": event, "data": data})


def event_data(event: str, data: Mapping[str, Any], terms: Terms) -> dict[str, Any]:
    """The data of a message with whatever it shows: files under their shown names."""
    told: dict[str, Any] = value(dict(data), terms)
    return cast("dict[str, Any]", shortened(told)) if event == "execution_error" else told


def value(raw: Any, terms: Terms, depth: int = 0) -> Any:
    """Any part of a history: outputs, messages, meta. What lies deeper than anybody reads is left out."""
    if depth > MAX_DEPTH:
        return None
    match raw:
        case str():
            return _plain(raw, terms)
        case {"filename": str()}:
            return _item(cast("dict[str, Any]", raw), terms, depth)
        case dict():
            members = cast("dict[str, Any]", raw).items()
            return {key: value(member, terms, depth + 1) for key, member in members}
        case list() | tuple():
            return [value(member, terms, depth + 1) for member in cast("list[Any]", raw)]
        case _:
            return raw


def _item(item: dict[str, Any], terms: Terms, depth: int) -> dict[str, Any]:
    name, subfolder = str(item["filename"]), str(item.get("subfolder") or "")
    others = {key: member for key, member in item.items() if key not in {"filename", "subfolder"}}
    rest = {key: value(member, terms, depth + 1) for key, member in others.items()}
    if item.get("type") == "input":
        return _input_item(item, rest, terms)
    shown = shown_item({"filename": name, "subfolder": subfolder}, folder_of(subfolder), terms.position)
    return {key: shown[key] if key in shown else rest[key] for key in item} | {"subfolder": shown["subfolder"]}


def _input_item(item: dict[str, Any], rest: dict[str, Any], terms: Terms) -> dict[str, Any]:
    subfolder = shown_folder(str(item.get("subfolder") or ""), "")
    reference = f"{subfolder}/{item['filename']}" if subfolder else str(item["filename"])
    written = terms.written.get(reference)
    if written is None:
        return item | rest
    path = PurePosixPath(_ANNOTATION.sub("", written.replace("\\", "/")))
    folder = "" if str(path.parent) == "." else str(path.parent)
    return item | rest | {"filename": path.name, "subfolder": folder}


def _plain(text: str, terms: Terms) -> str:
    if FOLDER in text:
        for reference, written in terms.written.items():
            text = text.replace(reference, written).replace(reference.replace("/", "\\"), written)
        text = _RUN_FOLDER.sub("", text)
    for secret in terms.secrets:
        text = text.replace(secret, HIDDEN)
    return text.replace(terms.theirs, terms.ours)


def shortened(raw: Any) -> Any:
    """The same with its long texts cut, and a note where."""
    match raw:
        case str() if len(raw) > MAX_TEXT:
            return f"{raw[:MAX_TEXT]}… ({len(raw)} characters in all)"
        case dict():
            return {key: shortened(member) for key, member in cast("dict[str, Any]", raw).items()}
        case list():
            return [shortened(member) for member in cast("list[Any]", raw)]
        case _:
            return raw


def _escaped(text: str) -> str:
    return json.dumps(text)[1:-1]


def _ordered(text: str) -> str:
    """A message of a server that spells it otherwise; whatever it is, its type comes first."""
    try:
        document: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(document, dict):
        return text
    table = cast("dict[str, Any]", document)
    return json.dumps({"type": table.get("type"), "data": table.get("data")} | table)
