"""What may be said about a file: its hash, its path, its type, its tags. All of it is parsed once, here."""

import re
import unicodedata
import urllib.parse
from collections.abc import Sequence

from atelier.assets import content_types
from atelier.assets.model import Asset, Digest, Placement
from atelier.kit.errors import Kind, Refusal

PART_BYTES = 255
PATH_BYTES = 1024
MOST_TAGS = 32
TAG_BYTES = 128

_HASH = re.compile(r"(?:blake3:)?([0-9a-f]{64})", re.IGNORECASE | re.ASCII)
_ANNOTATED = re.compile(r"\[(input|output|temp)\]\s*$", re.IGNORECASE)
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class InvalidAsset(Refusal):
    """Something that was said about the file cannot be so."""

    kind = Kind.UNPROCESSABLE
    code = "invalid_request"


def parse_hash(text: str) -> Digest | None:
    """`blake3:<64 hex>` or the hex alone, in any case; None when it is neither."""
    found = _HASH.fullmatch(text)
    return Digest(bytes.fromhex(found[1])) if found else None


def require_hash(text: str) -> Digest:
    """As parse_hash, but raises InvalidAsset."""
    digest = parse_hash(text)
    if digest is None:
        raise InvalidAsset("A hash is written blake3:<64 hexadecimal digits>.")
    return digest


def spell_hash(digest: Digest) -> str:
    return f"blake3:{digest.hex()}"


def parse_content_type(text: str) -> str:
    """The declared media type, lower case. Raises InvalidAsset."""
    media_type = content_types.parse_media_type(text)
    if media_type is None:
        raise InvalidAsset("content_type is a media type such as image/png.")
    return media_type


def parse_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """At most 32 different tags of 1 to 128 bytes each, in their order. Raises InvalidAsset."""
    unique = tuple(dict.fromkeys(tags))
    if len(unique) > MOST_TAGS:
        raise InvalidAsset(f"An asset has at most {MOST_TAGS} tags.")
    for tag in unique:
        if not 0 < _bytes(tag) <= TAG_BYTES or _unprintable(tag):
            raise InvalidAsset(f"A tag is printable text of 1 to {TAG_BYTES} bytes.")
    return unique


def parse_file_path(text: str) -> str:
    """The path under which a file is to be placed: a bare name, or `input/<folders>/<name>`; empty for none.

    ComfyUI reads `name [output]` from another folder and a leading root from another place, so both are refused
    (folder_paths.annotated_filepath; the roots as the Comfy API proxy has them). Raises InvalidAsset.
    """
    if not text:
        return ""
    parts = text.split("/")
    for part in parts:
        _check_part(part)
    if _bytes(text) > PATH_BYTES:
        raise InvalidAsset(f"file_path has at most {PATH_BYTES} bytes.")
    if len(parts) > 1 and parts[0] != "input":
        raise InvalidAsset(
            "file_path is a bare name or starts with input/; models are installed on the servers, not uploaded."
        )
    return text


def placement(asset: Asset) -> Placement:
    """Where the asset belongs below a server's input folder; without a path it is named by its hash."""
    folders, _, name = asset.file_path.removeprefix("input/").rpartition("/")
    return Placement(folders, name or asset.hash.hex() + content_types.extension(asset.content_type))


def disposition(asset: Asset) -> str:
    """The Content-Disposition to serve it with (RFC 6266): what could run scripts is a download."""
    kind = "inline" if content_types.may_show_inline(asset.content_type) else "attachment"
    return f"{kind}; filename*=UTF-8''{urllib.parse.quote(placement(asset).name, safe='')}"


def _check_part(part: str) -> None:
    if part in {"", ".", ".."}:
        raise InvalidAsset("file_path is relative, with no empty, . or .. parts.")
    if not 0 < _bytes(part) <= PART_BYTES:
        raise InvalidAsset(f"Every part of file_path has at most {PART_BYTES} bytes of UTF-8.")
    if "\\" in part or ":" in part or _unprintable(part):
        raise InvalidAsset("file_path has no backslashes, colons, control or direction-changing characters.")
    if _ANNOTATED.search(part):
        raise InvalidAsset(
            "file_path does not end in [input], [output] or [temp]: ComfyUI reads those as folders."
        )
    if part != part.strip() or part.endswith("."):
        raise InvalidAsset("No part of file_path begins or ends with a blank or ends with a dot.")


def _bytes(text: str) -> int:
    """The length in UTF-8, or 0 for what cannot be written in it."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return 0


def _unprintable(text: str) -> bool:
    return any(char in _BIDI or unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"} for char in text)
