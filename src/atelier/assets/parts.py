"""A multipart body is read part by part as it comes, parsed no further than it was asked for (RFC 7578)."""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from atelier.kit.errors import Refusal


class MalformedUpload(Refusal):
    """The body is not multipart/form-data."""


@dataclass(frozen=True, slots=True)
class Begin:
    """A part begins; `filename` only where it is a file."""

    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class _Data:
    content: bytes


@dataclass(frozen=True, slots=True)
class _End:
    """The end of a part."""


_Event = Begin | _Data | _End


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


class Parts:
    """The parts of a body with this Content-Type. All of it raises MalformedUpload."""

    def __init__(self, content_type: str | None, body: AsyncIterator[bytes]) -> None:
        boundary = _boundary(content_type)
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

    async def begin(self) -> Begin | None:
        """The next part, or None after the last one."""
        match await self._next():
            case Begin() as begin:
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

    async def text(self, most: int) -> str | None:
        """The part that has begun, as text; None, and unread, once it has more than `most` bytes."""
        content = b""
        async for chunk in self.data():
            content += chunk
            if len(content) > most:
                return None
        return _decode(content)

    async def skip(self) -> None:
        """Read the part that has begun and keep nothing of it."""
        async for _ in self.data():
            pass

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


def _begin(disposition: bytes | None) -> Begin:
    kind, options = parse_options_header(disposition)
    name, filename = options.get(b"name"), options.get(b"filename")
    if kind != b"form-data" or name is None:
        raise MalformedUpload("A part of the multipart body has no name.")
    return Begin(_decode(name), None if filename is None else _decode(filename))


def _decode(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise MalformedUpload("A field of the multipart body is not UTF-8.") from None
