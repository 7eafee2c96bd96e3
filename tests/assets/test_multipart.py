from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atelier.assets.multipart import InvalidUpload, Upload, read_upload
from atelier.assets.parts import MalformedUpload
from atelier.kit.errors import Kind, Refusal

TYPE = "multipart/form-data; boundary=XyZ"


def part(name: str, content: bytes, more: str = "") -> bytes:
    return f'--XyZ\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--XyZ--\r\n"


async def in_pieces(body: bytes, size: int = 7) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def read(body: bytes, content_type: str | None = TYPE, size: int = 7) -> tuple[Upload, bytes]:
    upload = await read_upload(content_type, in_pieces(body, size))
    return upload, b"".join([chunk async for chunk in upload.chunks])


async def refusal(body: bytes, content_type: str | None = TYPE) -> Refusal:
    with pytest.raises(Refusal) as refused:
        await read(body, content_type)
    return refused.value


async def test_the_fields_come_first_and_then_the_file() -> None:
    body = form(
        part("content_type", b"image/png"),
        part("file_path", "input/Grüße.png".encode()),
        part("expected_hash", b"blake3:00"),
        part("tags", b"a"),
        part("tags", b"b"),
        part("file", b"the\r\n--Xy bytes", '; filename="Grüße.png"\r\nContent-Type: application/octet-stream'),
    )

    upload, content = await read(body)

    assert content == b"the\r\n--Xy bytes"
    assert (upload.content_type, upload.file_path, upload.expected_hash) == (
        "image/png",
        "input/Grüße.png",
        "blake3:00",
    )
    assert (upload.tags, upload.filename) == (("a", "b"), "Grüße.png")


async def test_a_file_alone_is_enough() -> None:
    upload, content = await read(form(part("file", b"")))

    assert content == b""
    assert upload.content_type is upload.file_path is upload.expected_hash is upload.filename is None


async def test_unknown_fields_are_passed_over() -> None:
    upload, content = await read(form(part("colour", b"red"), part("file", b"x")))

    assert (upload.tags, content) == ((), b"x")


async def test_nothing_of_the_file_is_read_before_it_is_asked_for() -> None:
    asked: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        yield part("file_path", b"x") + b'--XyZ\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
        for number in range(3):
            asked.append(number)
            yield b"x" * 1000
        yield b"\r\n--XyZ--\r\n"

    upload = await read_upload(TYPE, body())

    assert asked == []
    assert len(await anext(upload.chunks)) > 0
    assert asked == [0]
    assert sum([len(chunk) async for chunk in upload.chunks]) > 1000


@given(st.binary(max_size=300), st.integers(1, 50))
async def test_any_bytes_come_through_however_they_are_cut(content: bytes, size: int) -> None:
    body = form(part("file_path", b"x"), part("file", content))
    if b"\r\n--XyZ" in content:
        return

    _, received = await read(body, size=size)

    assert received == content


@given(st.binary(max_size=200))
async def test_garbage_is_refused_never_a_failure(body: bytes) -> None:
    assert isinstance(await refusal(body), MalformedUpload | InvalidUpload)


@given(st.integers(0, 230))
async def test_a_body_that_breaks_off_is_malformed(length: int) -> None:
    body = form(part("file_path", b"x"), part("file", b"content" * 20))
    cut = body[: min(length, len(body) - 5)]

    assert isinstance(await refusal(cut), MalformedUpload)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "multipart/form-data",
        "multipart/mixed; boundary=XyZ",
        f"{TYPE[:30]}{'x' * 300}",
    ],
)
async def test_another_content_type_is_malformed(content_type: str | None) -> None:
    refused = await refusal(form(part("file", b"x")), content_type)

    assert (type(refused), refused.kind, refused.code) == (MalformedUpload, Kind.INVALID, "invalid_request")


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (form(part("file_path", b"x")), "no part named file"),
        (form(part("file_path", b"x"), part("file_path", b"y"), part("file", b"z")), "more than once"),
        (form(part("file", b"x"), part("file_path", b"y")), "send file last"),
        (form(part("file_path", b"x" * 5000), part("file", b"z")), "longer than"),
        (form(*[part(f"f{number}", b"x") for number in range(70)], part("file", b"z")), "more than 64"),
    ],
)
async def test_a_form_that_does_not_say_what_it_must_is_refused_in_words(body: bytes, word: str) -> None:
    refused = await refusal(body)

    assert refused.kind is Kind.UNPROCESSABLE
    assert word in refused.message


@pytest.mark.parametrize(
    "body",
    [
        form(part("file_path", b"\xff\xfe"), part("file", b"x")),
        form(b"--XyZ\r\nContent-Type: text/plain\r\n\r\nx\r\n"),
        form(b'--XyZ\r\nContent-Disposition: attachment; name="file"\r\n\r\nx\r\n'),
        form(b"--XyZ\r\n" + b"X-Long: " + b"x" * 100_000 + b"\r\n\r\nx\r\n"),
        form(b"--XyZ\r\n" + b"X: y\r\n" * 1000 + b"\r\nx\r\n"),
    ],
)
async def test_odd_parts_are_malformed(body: bytes) -> None:
    assert isinstance(await refusal(body), MalformedUpload)
