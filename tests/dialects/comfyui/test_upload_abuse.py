"""Whatever is sent as an upload or asked of /view costs a clear answer and no memory: a process apart shows it."""

import asyncio
import contextlib
import io
import json
import zlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from PIL import Image

from atelier.kit.database import Database
from conformance.apart import Apart, api_alone
from support.pictures import png, png_bomb, png_chunk

MEGABYTE = 1_000_000
TEN_GIGABYTES = 10_000 * MEGABYTE
PIECE = bytes(range(256)) * 4096
FLAT = 64 * MEGABYTE
FORM = {"Content-Type": "multipart/form-data; boundary=edge"}
FILE = b'--edge\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n'
MASK = png((4, 4), (0, 0, 0, 1))


@pytest.fixture
async def roles(database: Database, database_url: str, tmp_path: Path) -> AsyncGenerator[Apart]:
    async with api_alone(tmp_path, database, database_url) as started:
        yield started


@pytest.fixture
async def client(roles: Apart) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=roles.url, headers=roles.headers, timeout=60) as made:
        await made.post("/upload/image", files={"image": ("warm.png", png())})
        await made.get("/view", params={"filename": "warm.png", "type": "input", "preview": "webp"})
        yield made


def peak(roles: Apart) -> int:
    """The most bytes that the API process ever held in memory."""
    status = Path(f"/proc/{roles.fleet.processes['api'].pid}/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


def files(roles: Apart) -> list[Path]:
    folder = roles.fleet.folder / "state" / "files"
    return sorted(path for path in folder.rglob("*") if path.is_file())


@dataclass(slots=True)
class Endless:
    """A request whose body goes on until nobody reads it any more, or, if `heeds`, until it is answered."""

    status: int = 0
    sent: int = 0

    async def post(self, roles: Apart, path: str, head: bytes, opening: bytes, *, heeds: bool = True) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(roles.url).port)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            line = b"POST " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n"
            key = f"Authorization: Bearer {roles.key}\r\n".encode()
            writer.write(line + key + b"Content-Type: multipart/form-data; boundary=edge\r\n" + head + b"\r\n")
            answered = group.create_task(self._read(reader))
            with contextlib.suppress(ConnectionError):
                await self._write(writer, opening, chunked=b"chunked" in head, until=answered if heeds else None)
        writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        self.status = int((await reader.readline()).split()[1])

    async def _write(
        self, writer: asyncio.StreamWriter, opening: bytes, *, chunked: bool, until: asyncio.Task[None] | None
    ) -> None:
        piece = opening
        while self.sent < TEN_GIGABYTES and not (until and until.done()):
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
            self.sent += len(piece)
            piece = PIECE


DECLARED = b"Content-Length: %d\r\n" % TEN_GIGABYTES
CHUNKED = b"Transfer-Encoding: chunked\r\n"
FORMS: dict[str, tuple[bytes, bytes, int]] = {
    "ten gigabytes that are declared": (DECLARED, FILE, 413),
    "ten gigabytes in chunks": (CHUNKED, FILE, 413),
    "an endless header of a part": (CHUNKED, b"--edge\r\nX-Long: ", 400),
    "an endless name of a part": (CHUNKED, b'--edge\r\nContent-Disposition: form-data; name="', 400),
    "an endless field": (CHUNKED, b'--edge\r\nContent-Disposition: form-data; name="type"\r\n\r\n', 400),
    "endless bytes before the first part": (CHUNKED, b"x", 400),
}


async def test_an_endless_form_is_read_no_further_than_it_may_be(roles: Apart, client: httpx.AsyncClient) -> None:
    kept, before = files(roles), peak(roles)
    assert client.base_url == roles.url
    seen: dict[str, int] = {}
    sent: list[int] = []

    for case, (head, opening, _) in FORMS.items():
        for path in ("/upload/image", "/upload/mask"):
            request = Endless()
            await request.post(roles, path, head, opening)
            seen[f"{case}, {path}"] = request.status
            sent.append(request.sent)

    assert seen == {
        f"{case}, {path}": status
        for case, (_, _, status) in FORMS.items()
        for path in ("/upload/image", "/upload/mask")
    }
    assert max(sent) < 200 * MEGABYTE
    assert peak(roles) - before < FLAT
    assert files(roles) == kept


async def test_who_does_not_heed_the_answer_is_hung_up_on(roles: Apart, client: httpx.AsyncClient) -> None:
    before = peak(roles)
    request = Endless()

    await request.post(roles, "/upload/image", DECLARED, FILE, heeds=False)

    assert request.status == 413
    assert request.sent < TEN_GIGABYTES // 8
    assert peak(roles) - before < FLAT
    assert (await client.get("/view", params={"filename": "warm.png", "type": "input"})).status_code == 200


async def test_thousands_of_parts_are_too_many(roles: Apart, client: httpx.AsyncClient) -> None:
    before = peak(roles)
    part = b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n'
    file = FILE + b"content\r\n"

    answers = [
        await client.post("/upload/image", content=part * 50_000 + file + b"--edge--\r\n", headers=FORM),
        await client.post("/upload/image", content=file * 20_000 + b"--edge--\r\n", headers=FORM),
        await client.post("/upload/image", content=b"--edge--\r\n" + file * 20_000, headers=FORM),
    ]

    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert peak(roles) - before < FLAT


def text_bomb() -> bytes:
    """A picture whose text unpacks to 200 MB."""
    packed = zlib.compress(b"\0" * 200 * MEGABYTE, 9)
    whole = png()
    return whole[:33] + png_chunk(b"zTXt", b"a\0\0" + packed) + whole[33:]


def frames_bomb() -> bytes:
    """A few hundred bytes that say to be 60000 x 60000."""
    encoded = io.BytesIO()
    Image.new("P", (1, 1)).save(encoded, "GIF")
    whole = bytearray(encoded.getvalue())
    whole[6:10] = (60_000).to_bytes(2, "little") * 2
    return bytes(whole)


BOMBS = {
    "400 million pixels": png_bomb(20_000, 20_000),
    "a text of 200 MB": text_bomb(),
    "a header that says 60000 x 60000": frames_bomb(),
    "a png of two thousand million rows": png_bomb(1, 1).replace(
        (1).to_bytes(4, "big") * 2, (1).to_bytes(4, "big") + (2**31 - 1).to_bytes(4, "big")
    ),
}


async def test_a_picture_that_unpacks_to_gigabytes_is_kept_but_never_unpacked(
    roles: Apart, client: httpx.AsyncClient
) -> None:
    before = peak(roles)

    for case, bomb in BOMBS.items():
        uploaded = await client.post("/upload/image", files={"image": ("b.png", bomb)}, data={"overwrite": "1"})
        assert uploaded.status_code == 200, case
        for query in ({"preview": "webp"}, {"preview": "jpeg;10"}, {"channel": "a"}, {"channel": "rgb"}):
            answer = await client.get("/view", params={"filename": "b.png", "type": "input", **query})
            assert (answer.status_code, "error" in answer.json()) == (400, True), case
        plain = await client.get("/view", params={"filename": "b.png", "type": "input"})
        assert plain.content == bomb
        ref = {"original_ref": json.dumps({"filename": "b.png", "type": "input"})}
        masked = await client.post("/upload/mask", files={"image": ("m.png", MASK)}, data=ref)
        ref = {"original_ref": json.dumps({"filename": "warm.png", "type": "input"})}
        masking = await client.post("/upload/mask", files={"image": ("m.png", bomb)}, data=ref)
        assert (masked.status_code, masking.status_code) == (400, 400), case

    assert peak(roles) - before < FLAT
