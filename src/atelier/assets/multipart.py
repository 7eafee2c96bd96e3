"""A multipart upload is read as it comes: the small fields first, then the file's bytes, never all at once.

RFC 7578. The fields `content_type`, `file_path`, `expected_hash` and `tags` (repeated) come before `file`, as both
official SDKs send them; other fields before it are read and ignored.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from atelier.assets.parts import Parts
from atelier.kit.errors import Kind, Refusal

FIELD_BYTES = 4096
MOST_FIELDS = 64


class InvalidUpload(Refusal):
    """The form is well made but does not say what an upload has to say."""

    kind = Kind.UNPROCESSABLE


@dataclass(frozen=True, slots=True)
class Upload:
    """What came before the file, and the file itself, still to be read: iterate `chunks` once, to the end.

    Iterating raises MalformedUpload when the body breaks off, InvalidUpload when more comes after the file.
    """

    content_type: str | None
    file_path: str | None
    expected_hash: str | None
    tags: tuple[str, ...]
    filename: str | None
    chunks: AsyncIterator[bytes]


async def read_upload(content_type: str | None, body: AsyncIterator[bytes]) -> Upload:
    """Read the fields and stop at the first byte of `file`. Raises MalformedUpload, InvalidUpload."""
    parts = Parts(content_type, body)
    fields: dict[str, list[str]] = {}
    for _ in range(MOST_FIELDS + 1):
        begin = await parts.begin()
        if begin is None:
            raise InvalidUpload("The form has no part named file.")
        if begin.name == "file":
            return _upload(fields, begin.filename, parts)
        fields.setdefault(begin.name, []).append(await _text(parts, begin.name))
    raise InvalidUpload(f"The form has more than {MOST_FIELDS} fields before file.")


def _upload(fields: dict[str, list[str]], filename: str | None, parts: Parts) -> Upload:
    return Upload(
        content_type=_single(fields, "content_type"),
        file_path=_single(fields, "file_path"),
        expected_hash=_single(fields, "expected_hash"),
        tags=tuple(fields.get("tags", ())),
        filename=filename,
        chunks=_file(parts),
    )


def _single(fields: dict[str, list[str]], name: str) -> str | None:
    values = fields.get(name, [])
    if len(values) > 1:
        raise InvalidUpload(f"The field {name} came more than once.")
    return values[0] if values else None


async def _text(parts: Parts, name: str) -> str:
    text = await parts.text(FIELD_BYTES)
    if text is None:
        raise InvalidUpload(f"The field {name[:64]} is longer than {FIELD_BYTES} bytes.")
    return text


async def _file(parts: Parts) -> AsyncIterator[bytes]:
    async for chunk in parts.data():
        yield chunk
    after = await parts.begin()
    if after is not None:
        raise InvalidUpload(f"The part {after.name[:64]} came after file; send file last.")
