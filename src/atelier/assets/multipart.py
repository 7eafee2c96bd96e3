"""A multipart upload is read as it comes: the small fields first, then the file's bytes, never all at once.

RFC 7578. The fields `content_type`, `file_path`, `expected_hash` and `tags` (repeated) come before `file`, as both
official SDKs send them; other fields before it are read and ignored.
"""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from atelier.kit.errors import Kind, Refusal

FIELD_BYTES = 4096
MOST_FIELDS = 64


class MalformedUpload(Refusal):
    """The body is not multipart/form-data."""


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


@dataclass(frozen=True, slots=True)
class _Begin:
    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class _Data:
    content: bytes


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a part."""


_Event = _Begin | _Data | _End


async def read_upload(content_type: str | None, body: AsyncIterator[bytes]) -> Upload:
    """Read the fields and stop at the first byte of `file`. Raises MalformedUpload, InvalidUpload."""
    parts = _Parts(_boundary(content_type), body)
    fields: dict[str, list[str]] = {}
    for _ in range(MOST_FIELDS + 1):
        begin = await parts.begin()
        if begin is None:
            raise InvalidUpload("The form has no part named file.")
        if begin.name == "file":
            return _upload(fields, begin.filename, parts)
        fields.setdefault(begin.name, []).append(await _text(parts, begin.name))
    raise InvalidUpload(f"The form has more than {MOST_FIELDS} fields before file.")


def _upload(fields: dict[str, list[str]], filename: str | None, parts: "_Parts") -> Upload:
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


async def _text(parts: "_Parts", name: str) -> str:
    content = b""
    async for chunk in parts.data():
        content += chunk
        if len(content) > FIELD_BYTES:
            raise InvalidUpload(f"The field {name[:64]} is longer than {FIELD_BYTES} bytes.")
    return _decode(content)


async def _file(parts: "_Parts") -> AsyncIterator[bytes]:
    async for chunk in parts.data():
        yield chunk
    after = await parts.begin()
    if after is not None:
        raise InvalidUpload(f"The part {after.name[:64]} came after file; send file last.")


@dataclass(slots=True)
class _Header:
    name: bytes = b""
    value: bytes = b""


@dataclass(slots=True)
class _Headers:
    """The header lines of the part that is being read."""

    done: dict[str, bytes] = field(default_factory=dict[str, bytes])
    current: _Header = field(default_factory=_Header)

    def finish(self) -> None:
        self.done[self.current.name.decode("latin-1").lower()] = self.current.value
        self.current = _Header()


class _Parts:
    """The body as events, parsed no further than it was asked for."""

    def __init__(self, boundary: bytes, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._events: deque[_Event] = deque()
        self._headers = _Headers()
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._on_part_begin,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise MalformedUpload(f"The multipart boundary cannot be used: {error}.") from error

    async def begin(self) -> _Begin | None:
        """The next part, or None after the last one."""
        match await self._next():
            case _Begin() as begin:
                return begin
            case None:
                return None
            case _:
                raise MalformedUpload("The multipart body has bytes outside of its parts.")

    async def data(self) -> AsyncIterator[bytes]:
        """The bytes of the part that has begun."""
        while isinstance(event := await self._next(), _Data):
            yield event.content
        if event is None:
            raise MalformedUpload("The multipart body breaks off.")

    async def _next(self) -> _Event | None:
        while not self._events:
            chunk = await anext(self._body, None)
            if chunk is None:
                if not self._ended:
                    raise MalformedUpload("The multipart body breaks off before its closing boundary.")
                return None
            self._write(chunk)
        return self._events.popleft()

    def _write(self, chunk: bytes) -> None:
        if self._ended:
            return
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise MalformedUpload(f"The body is not well-formed multipart/form-data: {error}.") from error

    def _on_part_begin(self) -> None:
        self._headers = _Headers()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._headers.current.name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._headers.current.value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers.finish()

    def _on_headers_finished(self) -> None:
        self._events.append(_begin(self._headers.done.get("content-disposition")))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(_Data(data[start:end]))

    def _on_part_end(self) -> None:
        self._events.append(_End())

    def _on_end(self) -> None:
        self._ended = True


def _boundary(content_type: str | None) -> bytes:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        raise MalformedUpload("An upload is sent as multipart/form-data.")
    boundary = options.get(b"boundary")
    if not boundary:
        raise MalformedUpload("The Content-Type multipart/form-data names no boundary.")
    return boundary


def _begin(disposition: bytes | None) -> _Begin:
    kind, options = parse_options_header(disposition)
    name, filename = options.get(b"name"), options.get(b"filename")
    if kind != b"form-data" or name is None:
        raise MalformedUpload("A part of the multipart body has no name.")
    return _Begin(_decode(name), None if filename is None else _decode(filename))


def _decode(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise MalformedUpload("A field of the multipart body is not UTF-8.") from None
