"""A workflow is found in whatever ComfyUI saved: its own file, a picture's texts, tags of a film or a sound.

Sources: SaveImage (PNG text chunks `prompt`, `workflow`), SaveAnimatedWEBP (EXIF tags that begin with `prompt:` or
`workflow:`), SaveVideo and SaveAudio (tags of the container), VideoHelperSuite (both as one JSON in `comment`).
"""

import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, cast

import av
import av.error
from PIL import Image

from atelier.assets.pictures.reading import NotAPicture, PictureTooLarge, opened
from atelier.comfy.catalog import as_object
from atelier.kit.errors import Kind, Refusal
from atelier.workflows.converting.exported import is_workflow

LARGEST = 20_000_000
"""Bytes of one text: a workflow of ten thousand nodes has five million."""

MOST_TEXTS = 16
"""Texts of one picture that are looked at: thousands of them would unpack to as many gigabytes, one by one."""

MOST_SIGNS = 2_000_000
"""Commas and brackets of one text, about its values: nothing else runs while JSON is parsed."""

PNG = b"\x89PNG\r\n\x1a\n"
PROMPT = "prompt"
WORKFLOW = "workflow"
_NAMES = (PROMPT, WORKFLOW)
CONTAINERS = (
    (4, b"ftyp", "mov"),
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (0, b"ID3", "mp3"),
    (0, b"RIFF", "wav"),
)
"""Where a container's first bytes stand, and what PyAV calls it."""

_EXIF_POINTER = 0x8769
_USER_COMMENT = 0x9286


class NoWorkflow(Refusal):
    """The file holds no workflow."""

    kind: ClassVar[Kind] = Kind.UNPROCESSABLE
    code: ClassVar[str] = "no_workflow"


@dataclass(frozen=True, slots=True)
class Found:
    """`document` is parsed JSON; `api`: it is a graph in API format already, not a file of the editor."""

    document: Mapping[str, Any]
    api: bool


class _Opens(Protocol):
    """What of PyAV's containers is used."""

    metadata: Mapping[str, str]

    def close(self) -> None: ...


def found(content: bytes) -> Found:
    """The workflow in a file: the graph that ran, where the file has it, else what the editor keeps.

    Raises NoWorkflow.
    """
    start = content[:64].lstrip()
    if start.startswith((b"{", b"\xef\xbb\xbf{")):
        return _of_json(_parsed(content.decode("utf-8-sig", "replace")))
    texts = dict(_texts(content))
    for name, api in ((PROMPT, True), (WORKFLOW, False)):
        document = _parsed(texts.get(name, ""))
        if document is not None and (_is_graph(document) if api else is_workflow(document)):
            return Found(document, api)
    raise NoWorkflow("No workflow of ComfyUI is in this file: programs that send pictures often strip it.")


def _of_json(value: Any) -> Found:
    """A file of the editor, a graph, or a request that has one as `prompt` (what the editor posts)."""
    table = as_object(value)
    if table is not None:
        if is_workflow(table):
            return Found(table, api=False)
        inner = as_object(table.get(PROMPT))
        if inner is not None and _is_graph(inner):
            return Found(inner, api=True)
        if _is_graph(table):
            return Found(table, api=True)
    raise NoWorkflow("This JSON is neither a workflow of the editor nor a graph in API format.")


def _is_graph(table: Mapping[str, Any]) -> bool:
    return bool(table) and all("class_type" in (as_object(node) or {}) for node in table.values())


def _texts(content: bytes) -> Iterator[tuple[str, str]]:
    """Texts under our two names, later ones before earlier ones: who saves a picture anew appends."""
    if content.startswith(PNG):
        yield from _of_png(content)
    elif content.startswith(b"\xff\xd8") or content[8:12] == b"WEBP":
        yield from _of_exif(content)
    else:
        yield from _of_tags(content)


def _of_png(content: bytes) -> Iterator[tuple[str, str]]:
    """tEXt, zTXt and iTXt chunks (PNG specification, 11.3.3); pixels are stepped over."""
    at, found_so_far = len(PNG), 0
    while at + 8 <= len(content) and found_so_far < MOST_TEXTS:
        length = int.from_bytes(content[at : at + 4], "big")
        kind, body = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        name, _, rest = body.partition(b"\0")
        key = name.decode("latin-1").casefold()
        if kind in {b"tEXt", b"zTXt", b"iTXt"} and key in _NAMES:
            found_so_far += 1
            yield key, _chunk_text(kind, rest)
        at += 12 + length


def _chunk_text(kind: bytes, rest: bytes) -> str:
    if kind == b"tEXt":
        return _decoded(rest)
    if kind == b"zTXt":
        return _decoded(_inflated(rest[1:]))
    compressed, tail = rest[:1] == b"\1", rest[2:]
    text = tail.partition(b"\0")[2].partition(b"\0")[2]
    return _decoded(_inflated(text) if compressed else text)


def _decoded(raw: bytes) -> str:
    """Latin-1 by the specification, UTF-8 as many programs write it."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _inflated(raw: bytes) -> bytes:
    """At most LARGEST bytes: a small file can hold gigabytes."""
    with suppress(zlib.error):
        return zlib.decompressobj().decompress(raw, LARGEST)
    return b""


def _of_exif(content: bytes) -> Iterator[tuple[str, str]]:
    """Texts of WebP and JPEG: `workflow:{…}`, or JSON with both in the user's comment."""
    try:
        with opened(content) as image:
            values = list(_exif_values(image))
    except (NotAPicture, PictureTooLarge):
        return
    for value in values:
        name, colon, text = value.partition(":")
        if colon and name.strip().casefold() in _NAMES:
            yield name.strip().casefold(), text
        elif value.lstrip().startswith("{"):
            yield from _both(value)


def _exif_values(image: Image.Image) -> Iterator[str]:
    exif = image.getexif()
    inner: Mapping[int, Any] = exif.get_ifd(_EXIF_POINTER)
    for value in (*exif.values(), inner.get(_USER_COMMENT), image.info.get("comment")):
        if isinstance(value, str):
            yield value
        elif isinstance(value, bytes):
            yield _comment(value)


def _comment(raw: bytes) -> str:
    """A user's comment begins with the name of its encoding (EXIF 2.3, 4.6.5)."""
    if raw.startswith(b"UNICODE\0"):
        body = raw[8:]
        return body.decode("utf-16-be" if body[:1] == b"\0" else "utf-16-le", "replace")
    return _decoded(raw.removeprefix(b"ASCII\0\0\0"))


def _of_tags(content: bytes) -> Iterator[tuple[str, str]]:
    """Tags of MP4, MOV, WebM, MKV, FLAC, MP3, Opus, WAV: of these alone, since playlists open other files."""
    container = next((name for at, magic, name in CONTAINERS if content[at : at + len(magic)] == magic), None)
    tags: Mapping[str, str] = _tags(content, container) if container else {}
    for name, text in tags.items():
        if name.casefold() in _NAMES:
            yield name.casefold(), text
        elif name.casefold() == "comment" and text.lstrip().startswith("{"):
            yield from _both(text)


def _tags(content: bytes, name: str) -> Mapping[str, str]:
    try:
        container = cast("_Opens", av.open(io.BytesIO(content), format=name, metadata_errors="replace"))
    except (av.error.FFmpegError, ValueError, OSError):
        return {}
    try:
        return dict(container.metadata)
    finally:
        container.close()


def _both(text: str) -> Iterable[tuple[str, str]]:
    """JSON that has both as members: objects, or JSON in JSON."""
    table = _parsed(text) or {}
    for name in _NAMES:
        match table.get(name):
            case str() as inner:
                yield name, inner
            case inner if as_object(inner) is not None:
                yield name, json.dumps(inner)
            case _:
                pass


def _parsed(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, else None; NaN and infinities are no JSON."""
    if not text or len(text) > LARGEST or sum(text.count(sign) for sign in ",[{") > MOST_SIGNS:
        return None
    with suppress(ValueError, RecursionError):
        return as_object(json.loads(text.strip().strip("\0"), parse_constant=_not_json))
    return None


def _not_json(name: str) -> None:
    raise ValueError(name)
