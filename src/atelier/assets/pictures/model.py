"""What a delivered picture is to be, and what it says of itself; values only."""

import datetime as dt
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class PictureFormat(enum.StrEnum):
    """What pictures are delivered as; ORIGINAL: as their node saved them, byte for byte."""

    ORIGINAL = "original"
    PNG = "png"
    WEBP = "webp"
    JPEG = "jpeg"
    AVIF = "avif"

    @property
    def content_type(self) -> str:
        return f"image/{self}"

    @property
    def suffix(self) -> str:
        return ".jpg" if self is PictureFormat.JPEG else f".{self}"


class Metadata(enum.StrEnum):
    """What a delivered picture says of itself in EXIF, XMP and text chunks.

    KEEP: workflow, parameters, seed, time, and what its node wrote. ANONYMISE: workflow and seed alone, nothing
    that a person wrote. STRIP: nothing.
    """

    KEEP = "keep"
    ANONYMISE = "anonymise"
    STRIP = "strip"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How files are delivered. `quality` 1-100. `said`: workflow, version, params, seed, as far as known."""

    format: PictureFormat
    quality: int
    metadata: Metadata
    made_at: dt.datetime
    said: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def untouched(self) -> bool:
        """Whether every file stays as it is, whatever it is."""
        return self.format is PictureFormat.ORIGINAL and self.metadata is Metadata.KEEP


@dataclass(frozen=True, slots=True)
class Delivered:
    """A file that was changed: its new bytes. `content_type` and `suffix` are empty where they stay."""

    content: bytes
    content_type: str = ""
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Marks:
    """All that a file is to say of itself. `exif` begins with its TIFF header, `xmp` is a packet; empty: none.

    `texts`: keyword and text, for formats that have such chunks.
    """

    exif: bytes = b""
    xmp: bytes = b""
    texts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """What a file said of itself before. A JPEG's comment is the text `Comment`."""

    exif: bytes = b""
    xmp: bytes = b""
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
