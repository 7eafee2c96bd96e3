"""Labels and filters obey section 7 of the contract before anything is stored or asked."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from typing import ClassVar

from atelier.dialects.comfy_v2.wire import PLAIN_METADATA
from atelier.kit.errors import Kind, Refusal
from atelier.kit.http.bodies import is_object

MAX_LABELS = 16
MAX_VALUE_BYTES = 256
MAX_PLAIN_BYTES = 1024
MAX_FILTERS = 3

_KEY = re.compile(r"[A-Za-z0-9_.-]{1,40}", re.ASCII)
_FILTER = re.compile(r"metadata\[(.*)\]", re.DOTALL)
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class MetadataInvalid(Refusal):
    kind: ClassVar[Kind] = Kind.UNPROCESSABLE
    code: ClassVar[str] = "metadata_invalid"


class InvalidMetadataFilter(Refusal):
    code: ClassVar[str] = "invalid_metadata_filter"


def parse_metadata(value: object) -> dict[str, str]:
    """Labels from a map, or from one string (as the self-hosted proxy takes it). Raises MetadataInvalid."""
    if value is None:
        return {}
    if isinstance(value, str):
        return _plain(value)
    if is_object(value):
        return _labels(value)
    raise MetadataInvalid("metadata must be a map of strings.")


def _plain(text: str) -> dict[str, str]:
    if len(text.encode()) > MAX_PLAIN_BYTES:
        raise MetadataInvalid(f"metadata as one string may have {MAX_PLAIN_BYTES} bytes at most.")
    return {PLAIN_METADATA: text}


def _labels(pairs: Mapping[str, object]) -> dict[str, str]:
    if len(pairs) > MAX_LABELS:
        raise MetadataInvalid(f"metadata may have {MAX_LABELS} labels at most, not {len(pairs)}.")
    labels: dict[str, str] = {}
    for key, value in pairs.items():
        fault = _fault(key, value)
        if fault:
            raise MetadataInvalid(fault)
        labels[key] = str(value)
    return labels


def parse_filters(query: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The `metadata[key]=value` pairs of a query. Raises InvalidMetadataFilter."""
    filters: dict[str, str] = {}
    for name, value in query:
        if name != "metadata" and not name.startswith("metadata["):
            continue
        found = _FILTER.fullmatch(name)
        fault = _fault(found.group(1), value) if found else "Write a filter as metadata[key]=value."
        if fault:
            raise InvalidMetadataFilter(fault)
        key = found.group(1) if found else ""
        if filters.setdefault(key, value) != value:
            raise InvalidMetadataFilter(f"The label {key!r} cannot have two values at once.")
    if len(filters) > MAX_FILTERS:
        raise InvalidMetadataFilter(f"There may be {MAX_FILTERS} metadata filters at most.")
    return filters


def _fault(key: str, value: object) -> str | None:
    """What is wrong with a label, in a sentence; None when nothing is."""
    if not _KEY.fullmatch(key):
        return f"The label {key[:60]!r} must be 1 to 40 characters of A-Z, a-z, 0-9, '_', '.' and '-'."
    if not isinstance(value, str):
        return f"The value of the label {key!r} must be a string."
    if len(value.encode()) > MAX_VALUE_BYTES:
        return f"The value of the label {key!r} may have {MAX_VALUE_BYTES} bytes at most."
    if any(char in _BIDI or unicodedata.category(char) == "Cc" for char in value):
        return f"The value of the label {key!r} must not contain control or direction characters."
    return None
