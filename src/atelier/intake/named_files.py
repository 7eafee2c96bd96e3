"""A file is named in one of four ways: by the id of an asset, as an upload, as a data URI, or by its address."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

from atelier.comfy.catalog import as_object
from atelier.kit import errors
from atelier.kit.ids import AssetId, parse_uuid

_DATA = re.compile(r"data:([^,;]{0,127}(?:;[^,;]{1,127}){0,8})?,", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_BASE64 = ";base64"
_ESCAPED = {"%2B": "+", "%2F": "/", "%3D": "=", "%0D": "", "%0A": "", "%20": ""}
"""What of base64 needs an escape in an address; to undo all that can be escaped would take seconds."""

HOW = "name it by the id of an asset, a data URI (data:image/png;base64,…), or an http(s) address"


class InvalidInput(errors.Refusal):
    """A file that cannot be used. `details.errors` names the parameter, and says by `reason` what is wrong."""

    kind: ClassVar[errors.Kind] = errors.Kind.INVALID
    code: ClassVar[str] = "invalid_input"

    def __init__(self, parameter: str, message: str, reason: str, **more: Any) -> None:
        told: Mapping[str, Any] = {"parameter": parameter, "message": message, "reason": reason, **more}
        super().__init__(f"{parameter}: {message}.", details={"errors": [told]})


@dataclass(frozen=True, slots=True)
class Stored:
    """An asset that the account should have."""

    id: AssetId


@dataclass(frozen=True, slots=True)
class Inline:
    """The file itself, still in base64."""

    text: str

    @property
    def most_bytes(self) -> int:
        return len(self.text) * 3 // 4


@dataclass(frozen=True, slots=True)
class Address:
    """Where the file is to be fetched from."""

    url: str


Named = Stored | Inline | Address


def parse(parameter: str, said: object) -> Named:
    """Raises InvalidInput."""
    if isinstance(said, str):
        return _of_text(parameter, said)
    match as_object(said), sorted(as_object(said) or {}):
        case {"id": str() as asset_id}, ["id"]:
            return _stored(parameter, asset_id)
        case {"url": str() as url}, ["url"] if _ADDRESS.match(url):
            return Address(url)
        case {"__type": "core/ASSET", "info": {"id": str() as asset_id}}, _:
            return _stored(parameter, asset_id)
        case _:
            raise InvalidInput(parameter, HOW, "unreadable")


def parse_all(parameter: str, said: object) -> Sequence[Named]:
    """As `parse`, of a list or of one alone."""
    several = cast("list[object]", said) if isinstance(said, list) else [said]
    return [parse(parameter, one) for one in several]


def decoded(parameter: str, inline: Inline) -> bytes:
    """Raises InvalidInput."""
    try:
        return base64.b64decode("".join(inline.text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(parameter, "its data URI is not valid base64", "unreadable") from None


def _of_text(parameter: str, said: str) -> Named:
    text = said.strip()
    if _ADDRESS.match(text):
        return Address(text)
    if found := _DATA.match(text[:1500]):
        return _inline(parameter, found[1] or "", text[found.end() :])
    return _stored(parameter, text)


def _inline(parameter: str, described: str, data: str) -> Inline:
    if not described.casefold().endswith(_BASE64):
        raise InvalidInput(parameter, "its data URI is not in base64: write data:image/png;base64,…", "unreadable")
    return Inline(_unescaped(data) if "%" in data else data)


def _unescaped(data: str) -> str:
    for escape, sign in _ESCAPED.items():
        data = data.replace(escape, sign).replace(escape.lower(), sign)
    return data


def _stored(parameter: str, text: str) -> Stored:
    asset_id = parse_uuid(text.lower())
    if asset_id is None:
        raise InvalidInput(parameter, HOW, "unreadable")
    return Stored(AssetId(asset_id))
